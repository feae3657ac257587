"""A page's head: what it is, at once, and of when its figures are, once they are read."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime

import streamlit as st

from console.data.session import now
from console.ui import format

LOADING = 360  # pixels


def head(title: str) -> Callable[[datetime], None]:
    """Show the title and a refresh button; returns a function that shows the figures' instant."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(title, width="stretch", anchor=False)
        place = st.container(width="content")
        st.button(
            "Refresh",
            icon=":material/refresh:",
            key="refresh",
            help="Read the figures again",
            on_click=st.cache_data.clear,
        )

    def as_of(at: datetime) -> None:
        with place:
            _stamp(at)

    return as_of


def loading() -> AbstractContextManager[object]:
    """Show a placeholder while the page's figures are read, if that takes longer than a moment."""
    return st.skeleton(height=LOADING)


@st.fragment(run_every=10)
def _stamp(at: datetime) -> None:
    age = format.age(at, now())
    st.caption(f"Data as of {format.stamp(at)} · {age}", width="content", text_alignment="right")
