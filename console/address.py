"""Read and write the page's address: a wrong value is named, never silently replaced."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from console.ui import escape

T = TypeVar("T")


def parse(name: str, convert: Callable[[str], Any], takes: str) -> None:
    """Bring `?name=` into the widget of that key, once for each new address.

    `convert` raises ValueError for a wrong value; `takes` ends the sentence that is shown then.
    """
    raw, address = st.query_params.get(name), _page_parameters()
    value_before, awaited = address.get(name, (None, False))
    if raw == value_before:
        address[name] = (value_before, False)
        if raw is not None and name not in st.session_state:
            st.session_state[name] = convert(raw)
        return
    if awaited and not _went_back():
        return  # the browser does not show the written value yet: this is the address from before
    address[name] = (raw, False)
    if raw is None:
        return
    try:
        st.session_state[name] = convert(raw)
    except ValueError:
        st.session_state.pop(name, None)
        write(name, None)
        refuse(name, raw, takes)


def write(name: str, value: str | None) -> None:
    """Put the widget's value into the address, so that it can be shared; None takes it out."""
    address = _page_parameters()
    awaited = address.get(name, (None, False))[1] or st.query_params.get(name) != value
    address[name] = (value, awaited)
    if value is None:
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != value:
        st.query_params[name] = value


def read(name: str, convert: Callable[[str], T], takes: str) -> T | None:
    """Return the value of `?name=`, None without it; name a wrong value and remove it.

    For values that no widget holds, or a widget whose value `bind` puts into the address.
    """
    raw = st.query_params.get(name)
    if raw is None:
        return None
    try:
        return convert(raw)
    except ValueError:
        st.query_params.pop(name, None)
        refuse(name, raw, takes)
        return None


def bind(name: str, key: str, value: object, *others: str) -> Callable[[], None]:
    """Give the widget of `key` its value; returns the callback that puts a new one into the address.

    The callback removes `others` from the address: parameters that the new value invalidates, such as a page.
    """
    st.session_state[key] = value

    def changed() -> None:
        selection = st.session_state[key]
        for other in others:
            st.query_params.pop(other, None)
        if selection in (None, ""):
            st.query_params.pop(name, None)
        else:
            st.query_params[name] = str(selection)

    return changed


def number(raw: str) -> int:
    """Return a positive whole number, such as an id. Raises ValueError."""
    if not (raw.isascii() and raw.isdigit() and 0 < int(raw) < 2**63):
        raise ValueError(raw)
    return int(raw)


def day(latest: date) -> Callable[[str], date]:
    """Return a parser of UTC days like 2026-11-24, up to `latest`."""

    def parse(raw: str) -> date:
        parsed = date.fromisoformat(raw)
        if parsed > latest or len(raw) != len("2026-11-24"):
            raise ValueError(raw)
        return parsed

    return parse


def part(names: Sequence[str]) -> dict[str, str]:
    """Return those of the parameters `names` that are in the address."""
    return {name: st.query_params[name] for name in names if name in st.query_params}


def update(names: Sequence[str], query: Mapping[str, str]) -> None:
    """Set the parameters `names` of the address to `query`; write no value that it has already."""
    for name in names:
        if name not in query:
            st.query_params.pop(name, None)
        elif st.query_params.get(name) != query[name]:
            st.query_params[name] = query[name]


def _page_parameters() -> dict[str, tuple[str | None, bool]]:
    """Return this page's address as last read or written, and whether the browser has yet to show it.

    Each click, and each live part every two seconds, sends the address along, so an address sent
    before a change may arrive after it. Treated as new, it would undo the latest selection.
    """
    run = get_script_run_ctx()
    page = run.page_script_hash if run else ""
    if st.session_state.get("address-of") != page:
        st.session_state["address-of"], st.session_state["address"] = page, {}
    address: dict[str, tuple[str | None, bool]] = st.session_state["address"]
    return address


def _went_back() -> bool:
    run = get_script_run_ctx()
    return run is not None and run.is_history_navigation


def refuse(name: str, raw: str, takes: str) -> None:
    """Say that the address has a value that does not exist."""
    st.warning(
        f"The address says {name} = {escape.markdown(raw, 40)}, which is not {takes}.",
        icon=":material/link_off:",
    )


def one_of(options: Sequence[str]) -> Callable[[str], str]:
    """Return a parser that accepts exactly these words."""

    def parse(raw: str) -> str:
        if raw not in options:
            raise ValueError(raw)
        return raw

    return parse
