"""What the page's address asks for: a wrong value is named, never silently replaced."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from console import names


def read(name: str, parse: Callable[[str], Any], takes: str) -> None:
    """Bring `?name=` into the widget of that key, once for each new address.

    `parse` raises ValueError for what it does not take; `takes` ends the sentence shown then.
    """
    raw = st.query_params.get(name)
    seen = f"address-{name}"
    if raw == st.session_state.get(seen):
        if raw is not None and name not in st.session_state:
            st.session_state[name] = parse(raw)
        return
    st.session_state[seen] = raw
    if raw is None:
        return
    try:
        st.session_state[name] = parse(raw)
    except ValueError:
        st.session_state.pop(name, None)
        st.session_state[seen] = None
        del st.query_params[name]
        refuse(name, raw, takes)


def write(name: str, value: str | None) -> None:
    """Put the widget's value into the address, so that it can be shared; None takes it out."""
    st.session_state[f"address-{name}"] = value
    if value is None:
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != value:
        st.query_params[name] = value


def refuse(name: str, raw: str, takes: str) -> None:
    """Say that the address asked for something that is not there."""
    st.warning(
        f"The address says {name} = {names.markdown(raw, 40)}, which is not {takes}.",
        icon=":material/link_off:",
    )


def one_of(options: Sequence[str]) -> Callable[[str], str]:
    """A parser that takes exactly these words."""

    def parse(raw: str) -> str:
        if raw not in options:
            raise ValueError(raw)
        return raw

    return parse
