"""The controls of Explore: each is a part of the address, and the address fills each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

import streamlit as st

from console import address
from console.data.explore.measures import Measure
from console.ui import room
from console.views.explore import filter_control, ranges
from console.views.explore.parser import parse
from console.views.explore.state import (
    ALIGNS,
    FIRST_DAY,
    GRAINS,
    GROUPS,
    LOOKS,
    MOST_METERS,
    NAMES,
    VERSUS,
    State,
)

CUSTOM = "custom"
TOPS = {3: "3", 5: "5", 10: "10", 20: "20", 50: "All, up to 50"}
KEY = "explore-"  # of every widget


def current_state(today: date, all_measures: Mapping[str, Measure]) -> tuple[State, list[str]]:
    """Return the state that the address or the controls ask for, and the problems of the address."""
    parameters = address.part(NAMES)
    if _is_new(parameters):
        state, problems = parse(parameters, today, all_measures)
        fill(state)
        return state, problems
    return _of_widgets(today), []


def _is_new(parameters: Mapping[str, str]) -> bool:
    """Return whether the browser shows an address that these controls have not written.

    Each click sends the address along: one that was sent before the last change is not a new one.
    """
    written = st.session_state.get(KEY + "address")
    before = st.session_state.get(KEY + "address-before")
    if f"{KEY}meters" not in st.session_state or written is None:
        return True
    return parameters not in (written, before)


def fill(state: State) -> None:
    """Put `state` into the controls; before they are drawn, or in a callback."""
    values = {
        "meters": list(state.meters),
        "by": state.by,
        "top": state.top if state.top in TOPS else 5,
        "range": state.range or CUSTOM,
        "grain": state.grain,
        "look": state.look,
        "vs": state.vs,
        "align": state.align,
        "filters": filter_control.keys(state.filters),
    }
    if state.first is not None and state.last is not None:
        values["days"] = (state.first, state.last)
    for name, value in values.items():
        st.session_state[KEY + name] = value


def _of_widgets(today: date) -> State:
    state = State(
        meters=tuple(st.session_state.get(f"{KEY}meters") or ["mqtt_inbound"]),
        top=int(st.session_state.get(f"{KEY}top") or 5),
        filters=filter_control.parse(st.session_state.get(f"{KEY}filters") or []),
        by=_word("by", "none"),
        grain=_word("grain", "auto"),
        look=_word("look", "line"),
        vs=_word("vs", "none"),
        align=_word("align", "date"),
    )
    name = st.session_state.get(f"{KEY}range") or "30d"
    if name != CUSTOM:
        return replace(state, range=name)
    days: Sequence[date] = st.session_state.get(f"{KEY}days") or []
    first, last = (days[0], days[-1]) if len(days) else ranges.resolve("30d", today)
    return replace(state, range="", first=first, last=last)


def _word(name: str, default: str) -> str:
    return str(st.session_state.get(KEY + name) or default)


def remember(state: State) -> None:
    """Write `state` into the address."""
    written, parameters = state.query(), address.part(NAMES)
    if st.session_state.get(KEY + "address") != written:
        st.session_state[KEY + "address-before"] = parameters
        st.session_state[KEY + "address"] = written
    address.update(NAMES, written)


def show(state: State, all_measures: Mapping[str, Measure], today: date) -> None:
    """Show the controls: what, by what, from when to when, of whom, compared with what."""
    with room.controls("explore"):
        st.multiselect(
            "Measures",
            list(all_measures),
            format_func=lambda name: all_measures[name].label,
            key="explore-meters",
            max_selections=MOST_METERS,
            width=330,
            placeholder="MQTT messages in",
        )
        _select("By", "explore-by", GROUPS, 150)
        if state.by in ("organization", "tier", "project", "device"):
            st.selectbox("Top", list(TOPS), format_func=TOPS.__getitem__, key="explore-top", width=100)
        _select("As", "explore-look", LOOKS, 170)
    with room.controls("explore-looks"):
        labels = {name: label for name, (label, _) in ranges.RANGES.items()} | {CUSTOM: "From … to …"}
        _select("Range", "explore-range", labels, 150)
        if not state.range:
            st.date_input(
                "Days, both included (UTC)",
                min_value=FIRST_DAY,
                max_value=today,
                key="explore-days",
                width=230,
            )
        _select("Grain", "explore-grain", GRAINS, 130)
        _select("Compare with", "explore-vs", VERSUS, 160)
        if state.vs != "none":
            _select("Aligned", "explore-align", ALIGNS, 140)
        filter_control.show(state)


def _select(label: str, key: str, words: Mapping[str, str], width: int) -> None:
    st.selectbox(label, list(words), format_func=words.__getitem__, key=key, width=width)
