"""The coverage matrix: how well each project's days were measured by one source, a page at a time."""

from datetime import date, datetime, timedelta

import pandas as pd
import streamlit as st

from console import names
from console.components.days import LEGEND, STATES
from console.queries.problems import SOURCE_NAMES
from console.reading import reading, seen
from console.scope import Scope
from metering import coverage_matrix
from metering.meters import Source
from metering.periods import Day

MOST_DAYS = 31
PAGE = 50  # projects
ICONS = {state: label.split()[0] for state, label in STATES.items()} | {
    "zero": "0",
    "running": "…",
    "unsealed": "□",
}


# Many look at the same; what was asked for here and Refresh make it new.
@st.cache_data(ttl=15, max_entries=200, show_spinner=False)
def read(
    scope: Scope, first: date, last: date, at: datetime, after: int, source: Source
) -> list[coverage_matrix.Cell]:
    """A page of cells."""
    with reading() as page:
        return coverage_matrix.matrix(page.connection, Day(first), Day(last), at, after, PAGE, [source])


def show(first: Day, last: Day, at: datetime) -> None:
    """The matrix of the last MOST_DAYS of a range."""
    first = max(first, Day(last.date - timedelta(days=MOST_DAYS - 1)))
    st.subheader("How well the days were measured", anchor=False)
    after = int(st.session_state.get("matrix-after", 0))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.selectbox(
            "Source", list(SOURCE_NAMES), format_func=SOURCE_NAMES.__getitem__, key="matrix-source", width=220
        )
        cells = read(seen(), first.date, last.date, at, after, source)
        st.button("First projects", on_click=_go, args=(0,), disabled=after == 0, key="matrix-first")
        following = cells[-1].project_id if cells else after
        enough = len({cell.project_id for cell in cells}) == PAGE
        st.button("Next projects", on_click=_go, args=(following,), disabled=not enough, key="matrix-next")
    if not cells:
        st.info("No project was metered in these days.")
        return
    _grid(cells)
    st.caption(f"{LEGEND} · 0 read, and nothing used · □ not sealed · … still running · blank: not expected")


def _grid(cells: list[coverage_matrix.Cell]) -> None:
    days = sorted({cell.date for cell in cells})
    rows: dict[str, dict[str, str]] = {}
    for cell in cells:
        row = rows.setdefault(names.project(cell.project_id, cell.project), {})
        row[f"{cell.date:%m-%d}"] = ICONS.get(cell.state, cell.state)
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=[f"{day:%m-%d}" for day in days]).fillna("")
    st.dataframe(frame, key="matrix", alt="How well each project's days were measured, a column a day")


def _go(after: int) -> None:
    st.session_state["matrix-after"] = after
