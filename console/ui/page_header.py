"""The head of a page: its title, a search over everything, and the instant of its figures."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

import streamlit as st

from console import address
from console.data.session import now
from console.pages import page
from console.ui import format, notices

LOADING = 360  # pixels
EVERY = {"30": "30 s", "60": "1 min", "300": "5 min", "off": "off"}
OLD = timedelta(minutes=5)  # figures that are older are marked
KEYS = "Keys: `/` searches, `r` reads the figures again, Tab and Enter reach everything else."


def head(title: str, renews: bool = False) -> Callable[[datetime], None]:
    """Show the title, the search and a refresh button; return a function that shows the figures' instant.

    With `renews` the page is drawn again every 30 s (`?every=` in the address), from the cache;
    `console.js` waits while somebody types or a dialog is open.
    """
    notices.show()
    with st.container(horizontal=True, vertical_alignment="center", key="head"):
        st.title(title, width="stretch", anchor=False)
        st.text_input(
            "Search",
            key="everything",
            placeholder="Search: press /",
            icon=":material/search:",
            label_visibility="collapsed",
            max_chars=200,
            width=250,
            on_change=_searched,
        )
        if renews:
            _renewed()
        st.button(
            "Refresh",
            icon=":material/refresh:",
            key="refresh",
            help=f"Read the figures again. {KEYS}",
            on_click=st.cache_data.clear,
        )
    place = st.empty()
    place.caption("Reading…")
    if words := st.session_state.pop("search-for", None):
        st.switch_page(page("search"), query_params={"q": words})

    def as_of(at: datetime) -> None:
        with place:
            _stamp(at)

    return as_of


def _searched() -> None:
    st.session_state["search-for"] = str(st.session_state.get("everything") or "").strip() or None
    st.session_state["everything"] = ""


def _renewed() -> None:
    address.parse("every", address.one_of(tuple(EVERY)), "one of 30, 60, 300 seconds or off")
    st.session_state.setdefault("every", "30")
    interval = st.selectbox(
        "Refresh every",
        list(EVERY),
        format_func=lambda seconds: f"⟳ {EVERY[seconds]}",
        key="every",
        label_visibility="collapsed",
        width=110,
    )
    address.write("every", None if interval == "30" else interval)
    if interval != "off":
        st.button("Read again", key=f"renew-{interval}")  # not seen; console.js presses it


def loading() -> AbstractContextManager[object]:
    """Show a placeholder while the page's figures are read, if that takes longer than a moment."""
    return st.skeleton(height=LOADING)


@st.fragment(run_every=10)
def _stamp(at: datetime) -> None:
    st.caption(age_sentence(at, now()))


def age_sentence(at: datetime, current: datetime) -> str:
    """Return the sentence on the age of the figures read at `at`; amber when they are old."""
    sentence = f"Data as of {format.stamp(at)} · {format.age(at, current)}"
    return f":orange[:material/warning: {sentence}]" if current - at > OLD else sentence
