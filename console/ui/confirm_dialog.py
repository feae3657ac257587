"""A question before an action: it stays open while the page around it renews itself."""

from collections.abc import Callable

import streamlit as st


def button(label: str, key: str, icon: str, **options: str) -> None:
    """Show a button that opens the dialog of that key."""
    st.button(label, key=key, icon=icon, on_click=_open, args=(key,), **options)  # type: ignore[arg-type]


def ask(key: str, title: str, body: Callable[[], None], yes: str, do: Callable[[], None]) -> None:
    """Show the question `key` if it is open; on `yes`, call `do` and close it."""
    if st.session_state.get("question") != key:
        return

    @st.dialog(title, on_dismiss=_close)
    def dialog() -> None:
        body()
        with st.container(horizontal=True, horizontal_alignment="right"):
            if st.button("Not now", key=f"dismiss-{key}"):
                _close()
                st.rerun()
            if st.button(yes, type="primary", key=f"confirm-{key}"):
                do()
                _close()
                st.rerun()

    dialog()


def _open(key: str) -> None:
    st.session_state["question"] = key


def _close() -> None:
    st.session_state.pop("question", None)
