"""The controls of Changes: each writes its part of the address, and the page reads that."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import streamlit as st

from console import address
from console.data.changes import devices
from console.data.explore.measures import Measure
from console.ui import escape, room
from console.views.changes.question import NAMES, ChangeQuestion
from console.views.explore import ranges
from console.views.explore.state import FIRST_DAY

KEY = "changes-"  # of every widget
USUAL, CUSTOM = "usual", "custom"
BY = {"organization": "Organization", "project": "Project", "meter": "Meter", "tier": "Tier"}
VERSUS = {"previous": "Period before", "year": "A year ago"}


def show(question: ChangeQuestion, all_measures: Mapping[str, Measure], today: date) -> None:
    """Show the controls with the values of the address; `all_measures` is every measure."""
    measures = {name: measure for name, measure in all_measures.items() if measure.adds_up}
    state = question.state
    dimensions = dict(BY)
    if not devices.takes(state.meters, state.filters):
        dimensions["device"] = "Device"
    spans = {USUAL: "7 whole days"} | {name: label for name, (label, _) in ranges.RANGES.items()}
    spans |= {CUSTOM: "From … to …"}
    span = USUAL if question.is_usual_range else state.range or CUSTOM
    _fill(meters=list(state.meters), range=span, days=question.after, by=question.by, vs=state.vs)
    with room.controls("changes"):
        st.multiselect(
            "Measure",
            list(measures),
            format_func=lambda name: measures[name].label,
            key="changes-meters",
            width=330,
            max_selections=6,
            on_change=_meters,
        )
        st.selectbox(
            "Period",
            list(spans),
            format_func=spans.__getitem__,
            key="changes-range",
            width=160,
            on_change=_range,
            args=(question,),
        )
        if span == CUSTOM:
            st.date_input(
                "Days, both included (UTC)",
                min_value=FIRST_DAY,
                max_value=max(today, question.after[1]),
                key="changes-days",
                width=230,
                on_change=_days,
            )
        st.segmented_control(
            "Compare with",
            list(VERSUS),
            format_func=VERSUS.__getitem__,
            key="changes-vs",
            required=True,
            on_change=_write,
            args=("vs",),
        )
        st.segmented_control(
            "Take apart by",
            list(dimensions),
            format_func=dimensions.__getitem__,
            key="changes-by",
            required=True,
            on_change=_write,
            args=("by",),
        )
    _filters(question)


def go(query: dict[str, str]) -> None:
    """Make `query` the address; in a callback, before the page is drawn."""
    address.update(NAMES, query)


def _fill(**values: Any) -> None:
    for name, value in values.items():
        if st.session_state.get(KEY + name) != value:
            st.session_state[KEY + name] = value


def _write(name: str) -> None:
    st.query_params[name] = str(st.session_state[KEY + name])
    if name == "vs":
        _forget("before_from", "before_to")


def _meters() -> None:
    st.query_params["meters"] = ",".join(st.session_state[f"{KEY}meters"]) or "mqtt_inbound"


def _range(question: ChangeQuestion) -> None:
    span = str(st.session_state[f"{KEY}range"])
    _forget("range", "from", "to", "before_from", "before_to")
    if span == CUSTOM:
        st.query_params["from"], st.query_params["to"] = map(str, question.after)
    elif span != USUAL:
        st.query_params["range"] = span


def _days() -> None:
    days = st.session_state[f"{KEY}days"]
    if len(days) == 2:
        _forget("before_from", "before_to")
        st.query_params["from"], st.query_params["to"] = map(str, days)


def _forget(*names: str) -> None:
    for name in names:
        st.query_params.pop(name, None)


def _filters(question: ChangeQuestion) -> None:
    words = [word for word in question.query().get("where", "").split(",") if word]
    if not words:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        for word in words:
            kind, _, value = word.partition(":")
            rest = ",".join(other for other in words if other != word)
            st.button(
                f"{kind.capitalize()} {escape.markdown(value, 40)}",
                key=f"changes-without-{word}",
                icon=":material/close:",
                help="Without this filter",
                on_click=go,
                args=(question.query(where=rest or None),),
            )
