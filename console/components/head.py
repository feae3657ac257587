"""A page's head: what it is, and of when its figures are."""

from contextlib import AbstractContextManager
from datetime import datetime

import streamlit as st

from console import figures
from console.reading import now

LOADING = 360  # pixels


def head(title: str, at: datetime) -> None:
    """The title, the stamp and a way to read again."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(title, width="stretch", anchor=False)
        with st.container(width="content"):
            _stamp(at)
        st.button(
            "Refresh",
            icon=":material/refresh:",
            key="refresh",
            help="Read the figures again",
            on_click=st.cache_data.clear,
        )


def loading() -> AbstractContextManager[object]:
    """What stands in the page's place while its figures are read, once that takes longer than a moment."""
    return st.skeleton(height=LOADING)


@st.fragment(run_every=10)
def _stamp(at: datetime) -> None:
    age = figures.age(at, now())
    st.caption(f"Data as of {figures.stamp(at)} · {age}", width="content", text_alignment="right")
