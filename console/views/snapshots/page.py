"""Snapshots: which days are missing, and their repair."""

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, timedelta

import streamlit as st

from console import address
from console.data.cache import cached
from console.data.session import current_scope, now
from console.data.transactions import read_transaction_as
from console.ui import progress, room
from console.ui.charts import calendar, drawing
from console.ui.charts.drawing import Selection
from console.ui.page_header import head, loading
from console.ui.table import Column, table
from console.views.snapshots import matrix, repair
from console.views.snapshots.repair import Missing
from metering.catalogue.periods import Day, days
from metering.days import completeness
from metering.days.expected_days import MissingDay
from metering.db.scope import Scope

LONGEST = 366  # days of a range


@cached
def query(scope: Scope, first: date, last: date) -> tuple[datetime, list[MissingDay], dict[date, int]]:
    """Return the instant, the missing days, and how many projects have each day sealed."""
    with read_transaction_as(scope) as page:
        sealed = completeness.read(page.connection, Day(first), Day(last), page.at)
        missing = completeness.find_missing(page.connection, sealed, page.at)
        return page.at, missing, {day.date: day.projects for day in sealed if day.projects}


def show() -> None:
    """Show the page."""
    first, last = _days_of_address(now())
    as_of = head("Snapshots")
    with loading():
        at, missing, sealed = query(current_scope(), first.date, last.date)
    as_of(at)
    _range(at)
    if missing:
        repair.render(missing, at)
    else:
        _nothing_missing(first, last, sealed)
    progress.follow("backfill")
    _calendar(missing, sealed, first, last)
    matrix.render(first, last, frozenset(day.project_id for day in missing))


def _days_of_address(at: datetime) -> tuple[Day, Day]:
    yesterday = Day.of(at).previous()
    address.parse("from", address.day(yesterday.date), f"a day up to {yesterday}, like {yesterday}")
    address.parse("to", address.day(yesterday.date), f"a day up to {yesterday}, like {yesterday}")
    last = min(st.session_state.get("to") or yesterday.date, yesterday.date)
    first = st.session_state.get("from") or last - timedelta(days=29)
    if first > last:
        st.warning(f"The range ended before it began; it shows {first} alone.")
        last = first
    if (last - first).days >= LONGEST:
        first = last - timedelta(days=LONGEST - 1)
        st.warning(f"Ranges are limited to {LONGEST} days; this one begins on {first}.")
    st.session_state["from"], st.session_state["to"] = first, last
    return Day(first), Day(last)


def _range(at: datetime) -> None:
    yesterday = Day.of(at).previous().date
    with room.controls("days"):
        first = st.date_input("From", key="from", max_value=yesterday, format="YYYY-MM-DD", width=170)
        last = st.date_input("To", key="to", max_value=yesterday, format="YYYY-MM-DD", width=170)
    address.write("from", str(first))
    address.write("to", str(last))


def _nothing_missing(first: Day, last: Day, sealed: Mapping[date, int]) -> None:
    if sealed:
        st.success(f"No day is missing from {first} to {last}.", icon=":material/check_circle:")
    else:
        st.info(
            f"No day from {first} to {last} is expected: no project was metered then. Expected days begin "
            "when a project is created, or when Fleetmeter was installed, whichever is later."
        )


def _open_day(selection: Selection) -> None:
    """Show the day that was clicked in the calendar, alone."""
    if selection.name is not None:
        day = date.fromisoformat(selection.name)
        st.session_state["from"] = st.session_state["to"] = day


def _calendar(missing: Missing, sealed: Mapping[date, int], first: Day, last: Day) -> None:
    if not missing and not sealed:
        return
    counts = Counter(day.date for day in missing)
    rows = [
        {"date": day.date, "missing": counts[day.date], "sealed": sealed.get(day.date, 0)}
        for day in days(first, last)
    ]
    st.subheader("Day by day", anchor=False)
    chart, listing = st.tabs(["Calendar", "Table"])
    with chart:
        alt = "How many projects miss each day; the table beside it has the numbers"
        calendar_figure = calendar.figure(rows, f"{first}..{last}")
        drawing.show(calendar_figure, "calendar", alt, ("points",), on_select=_open_day)
    with listing:
        table(
            rows[::-1],
            (
                Column("date", "Day", "date"),
                Column("sealed", "Projects sealed", "count"),
                Column("missing", "Projects missing", "count"),
            ),
            "calendar-table",
            "Projects sealed and missing by day, newest first",
        )
