"""Results of queries, cached for all people who see the same rows."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import streamlit as st

T = TypeVar("T")
P = ParamSpec("P")
SECONDS = 15


def cached(query: Callable[P, T]) -> Callable[P, T]:
    """Cache the results of `query`, whose first argument is a scope.

    Stale-while-revalidate: entries older than 15 s are served once more (up to 30 s) while they are
    refreshed. Pages show the data's timestamp. An action and Refresh clear the cache.
    """
    caching = st.cache_data(ttl=SECONDS, max_entries=200, show_spinner=False, refresh_mode="background")
    return caching(query)
