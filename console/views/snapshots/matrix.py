"""The coverage matrix: how well each project's days were measured, source by source, a page at a time."""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import pyarrow as pa
import streamlit as st

from console import address
from console.data.cache import cached
from console.data.session import current_scope
from console.data.transactions import read_transaction_as
from console.ui import escape, room
from console.ui.states import LEGEND, STATES
from console.views.snapshots import matrix_file
from metering.catalogue.periods import Day, days
from metering.catalogue.sources import SOURCE_LABELS, SOURCE_NAMES, SourceName
from metering.days import coverage_matrix
from metering.days.coverage_matrix import Cell
from metering.db.scope import Scope

MOST_DAYS = 31
PAGE = 25  # projects
WORST, EVERY = "worst", "every"
NOT_EXPECTED = "·"
ICONS = {state: label.split()[0] for state, label in STATES.items()} | {
    "running": "…",
    "unsealed": "□",
}
GREEN, SKY, ORANGE, PURPLE, RED, GREY = "#009E73", "#56B4E9", "#E69F00", "#CC79A7", "#D55E00", "#8A95A166"
# From worst to best; a source without expected data says nothing about the others.
RANKS = (
    *("unsealed", "missing", "failed", "denied", "partial", "carried", "running", "measured", "zero"),
    *("not_started", "not_configured"),
)
COLOURS = {"●": GREEN, "0": SKY, "◐": ORANGE, "↷": PURPLE, "○": RED, "✕": RED, "□": RED}


@cached
def query(
    scope: Scope,
    first: date,
    last: date,
    after: int,
    sources: Sequence[SourceName],
    only: tuple[int, ...] | None,
) -> list[Cell]:
    """Return one page of cells."""
    with read_transaction_as(scope) as page:
        return coverage_matrix.matrix(
            page.connection, Day(first), Day(last), page.at, after, PAGE, sources, only
        )


# Read only when the toggle is on.
@cached
def partial(scope: Scope, first: date, last: date, sources: Sequence[SourceName]) -> frozenset[int]:
    """Return the projects with a sealed day that was not read completely."""
    with read_transaction_as(scope) as page:
        return coverage_matrix.incomplete_projects(page.connection, Day(first), Day(last), sources)


def render(first: Day, last: Day, unsealed: frozenset[int]) -> None:
    """Render the matrix of the last MOST_DAYS of a range; `unsealed` projects miss a day in it."""
    first = max(first, Day(last.date - timedelta(days=MOST_DAYS - 1)))
    st.subheader("How well the days were measured", anchor=False)
    after = int(st.session_state.get("matrix-after", 0))
    with room.controls("matrix"):
        sources, lacking, is_worst = _choose()
        only = None
        if lacking:
            only = tuple(sorted(unsealed | partial(current_scope(), first.date, last.date, sources)))
        cells = query(current_scope(), first.date, last.date, after, sources, only)
        first_label, next_label = f"First {PAGE} projects", f"Next {PAGE} projects"
        st.button(first_label, on_click=_go, args=(0,), disabled=after == 0, key="matrix-first")
        following = cells[-1].project_id if cells else after
        enough = len({cell.project_id for cell in cells}) == PAGE
        st.button(next_label, on_click=_go, args=(following,), disabled=not enough, key="matrix-next")
        matrix_file.offer(first, last, sources, only)
    if not cells:
        st.info(
            "Every project's days are sealed; none is missing, partial or carried over."
            if lacking
            else "No project was metered in these days."
        )
        return
    _grid(worst(cells) if is_worst else cells, first, last, is_worst)
    st.caption(f"{LEGEND} · □ not sealed · … still running · {NOT_EXPECTED} not expected")


def worst(cells: Sequence[Cell]) -> list[Cell]:
    """Return, for each project and day, the cell of the worst measured source."""
    worst_of: dict[tuple[int, date], Cell] = {}
    for cell in cells:
        key = cell.project_id, cell.date
        if key not in worst_of or _rank(cell) < _rank(worst_of[key]):
            worst_of[key] = cell
    return list(worst_of.values())


def _rank(cell: Cell) -> int:
    return RANKS.index(cell.state)


def _choose() -> tuple[Sequence[SourceName], bool, bool]:
    """Return the sources, whether to show only projects with a problem, and only the worst source."""
    options = {WORST: "The worst of each day", EVERY: "Every source"}
    options |= {str(name): label for name, label in SOURCE_LABELS.items()}
    address.parse("source", address.one_of(tuple(options)), "a source: " + ", ".join(options))
    address.parse("only", _is_missing, "`missing`")
    st.session_state.setdefault("source", WORST)
    source = st.selectbox(
        "Source",
        list(options),
        format_func=options.__getitem__,
        key="source",
        width=220,
        on_change=_go,
        args=(0,),
    )
    only = st.toggle("Only with missing, partial or carried-over days", key="only", on_change=_go, args=(0,))
    address.write("source", None if source == WORST else source)
    address.write("only", "missing" if only else None)
    sources = [name for name in SOURCE_NAMES if source in (WORST, EVERY, name)]
    return sources, only, source == WORST


def _is_missing(raw: str) -> bool:
    if raw != "missing":
        raise ValueError(raw)
    return True


def _grid(cells: Sequence[Cell], first: Day, last: Day, is_worst: bool) -> None:
    """Draw a row for each project, or for each source of each project."""
    headings = {day.date: f"{day.date:%m-%d}" for day in reversed(list(days(first, last)))}
    whose = {cell.project_id: cell.project for cell in cells}
    named = {one: escape.cell(escape.project(one, name)) for one, name in whose.items()}
    rows: dict[tuple[int, str], dict[date, list[str]]] = {}
    for cell in cells:
        key = cell.project_id, "" if is_worst else SOURCE_LABELS[cell.source]
        rows.setdefault(key, {})[cell.date] = [ICONS.get(cell.state, cell.state)]
    pills = {
        heading: pa.array([row.get(day, [NOT_EXPECTED]) for row in rows.values()])
        for day, heading in headings.items()
    }
    sources = {} if is_worst else {"Source": [source for _, source in rows]}
    st.dataframe(
        pa.table({"Project": [named[project] for project, _ in rows], **sources, **pills}),
        column_config=_columns(tuple(headings.values())),
        hide_index=True,
        key="matrix",
        height=min(38 + 35 * len(rows), 600),
        alt="How well each project's days were measured, a column a day",
    )


@lru_cache(maxsize=100)
def _columns(headings: Sequence[str]) -> dict[str, Any]:
    icons = list(dict.fromkeys([*ICONS.values(), NOT_EXPECTED]))
    colours = [COLOURS.get(icon, GREY) for icon in icons]
    make = st.column_config
    named: dict[str, Any] = {
        "Project": make.TextColumn(width=170, pinned=True),
        "Source": make.TextColumn(width=130, pinned=True),
    }
    pills = {name: make.MultiselectColumn(name, width=44, options=icons, color=colours) for name in headings}
    return named | pills


def _go(after: int) -> None:
    st.session_state["matrix-after"] = after
