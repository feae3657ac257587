"""A project's day, hour by hour: its usage, and how well each source was measured."""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import groupby

import streamlit as st

from console import address
from console.data.queries import projects
from console.data.queries.rows import Row
from console.data.transactions import read_transaction
from console.ui import error_boundary
from console.ui.charts import drawing
from console.ui.charts.meter import MeterSeries, figure
from console.ui.states import STATES
from console.ui.table import Column, table
from metering.catalogue.meters import METERS
from metering.catalogue.periods import Day
from metering.catalogue.sources import SOURCE_LABELS
from metering.days import coverage_hours
from metering.days.coverage_hours import HourCell

WORDS = STATES | {"running": "… running"}
TITLE = "Hours of a day"
AGED = ("carried", "denied", "failed")  # whose level is an earlier one
MEASURED = (
    Column("hour", "Hour (UTC)", "instant"),
    *(Column(source, label) for source, label in SOURCE_LABELS.items()),
    Column("why", "Why"),
)


@error_boundary.guarded
def render(project_id: int, first: date, last: date, name: str, is_open: bool) -> None:
    """Render the hours of the day in the address, else of the running day; `is_open`: the tab is open."""
    running = last + timedelta(days=1)
    if not first <= st.session_state.get("day", running) <= running:
        del st.session_state["day"]  # of a longer range
    st.session_state.setdefault("day", running)
    day: date = st.date_input(
        "Day", min_value=first, max_value=running, format="YYYY-MM-DD", width=170, key="day"
    )
    address.write("day", str(day) if is_open else None)
    with read_transaction() as page:
        usage = projects.hours(page.connection, project_id, Day(day))
        coverage = coverage_hours.hours(page.connection, project_id, Day(day), page.at)
    _usage(usage, day, name)
    table(covered(coverage), MEASURED, "hour-coverage", f"How well each hour of {day} was measured")


def covered(cells: Sequence[HourCell]) -> list[Row]:
    """Return a row for each hour: the state of each source and the reason in words."""
    return [_row(list(group)) for _, group in groupby(cells, key=lambda cell: cell.hour)]


def _row(cells: Sequence[HourCell]) -> Row:
    states: Row = {cell.source: _state(cell) for cell in cells}
    return {"hour": cells[0].hour, **states, "why": "; ".join(filter(None, map(_why, cells)))}


def _state(cell: HourCell) -> str:
    age = cell.detail.get("age_hours")
    old = f", {age} h old" if age is not None and cell.state in AGED else ""
    return WORDS.get(cell.state, cell.state) + old


def _why(cell: HourCell) -> str:
    reasons = [cell.detail["reason"]] if cell.detail.get("reason") else []
    for place, levels in (cell.detail.get("parts") or {}).items():
        sums = [f"{value:,} {METERS[name].label}" for name, value in (levels or {}).items() if name in METERS]
        reasons.append(f"{place} " + (", ".join(sums) or "unknown"))
    return f"{SOURCE_LABELS[cell.source]}: {'; '.join(reasons)}" if reasons else ""


def _usage(hours: Sequence[Row], day: date, name: str) -> None:
    meter = METERS[name]
    if all(row[name] is None for row in hours):
        st.info(f"No hour of {day} has a known figure for {meter.label}.")
        return
    alt = f"{meter.label} by hour of {day}, UTC"
    at = [f"{row['hour']:%Y-%m-%d %H:%M}" for row in hours]
    series = MeterSeries(meter.label, meter.unit, "hour", at, [row[name] for row in hours])
    drawing.show(figure(series, f"{day} {name}"), "hours", alt)
    table(
        hours,
        (Column("hour", "Hour (UTC)", "instant"), Column(name, meter.label, meter.unit)),
        "hour-table",
        alt,
    )
