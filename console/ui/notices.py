"""Notices that are shown in the next run: a run that ends with st.rerun() may lose its own."""

from typing import NamedTuple

import streamlit as st

from console.ui import escape


class _Notice(NamedTuple):
    text: str
    icon: str


def error(sentence: str) -> None:
    """Show an error in the next run; names in it are escaped."""
    _keep(_Notice(escape.markdown(sentence, 400), ":material/error:"))


def success(sentence: str) -> None:
    """Show a success in the next run; names in it are escaped."""
    _keep(_Notice(escape.markdown(sentence, 400), ":material/check_circle:"))


def show() -> None:
    """Show the notices of the run before, for ten seconds."""
    for notice in st.session_state.pop("notices", []):
        st.toast(notice.text, icon=notice.icon, duration="long")


def _keep(notice: _Notice) -> None:
    st.session_state.setdefault("notices", []).append(notice)
