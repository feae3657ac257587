"""Snapshots: which days are missing, and their repair."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any

import streamlit as st

from console import address
from console.actions import ask
from console.data.cache import cached
from console.data.session import current_scope, has_role, now
from console.data.transactions import read_transaction_as
from console.ui import format, links, progress, room
from console.ui.charts import calendar, drawing
from console.ui.charts.drawing import Selection
from console.ui.page_header import head, loading
from console.ui.table import Column, table
from console.views.snapshots import matrix
from metering.catalogue.periods import Day, days
from metering.days import completeness
from metering.days.expected_days import MissingDay
from metering.db.scope import Scope

LONGEST = 366  # days of a range
MISSING = (
    Column("project_id", "Id", "id"),
    Column("project", "Project", "name", link=lambda row: links.project(row["project_id"])),
    Column("days", "Missing days", "count"),
    Column("first", "First", "date"),
    Column("last", "Last", "date"),
    Column("dates", "Which"),
)
Missing = Sequence[MissingDay]


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
        _repair(missing, at)
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


def _repair(missing: Missing, at: datetime) -> None:
    rows = _by_project(missing)
    st.subheader(
        f"{format.many(len(missing), 'day')} missing in {format.many(len(rows), 'project')}", anchor=False
    )
    ticked = table(rows, MISSING, "missing", "Missing days by project; tick rows to repair only them", True)
    if not has_role("operator"):
        return
    dates = _dates(missing)
    projects = {rows[number]["project_id"] for number in ticked}
    repair_days = [
        day for day in missing if day.date in dates and (not projects or day.project_id in projects)
    ]
    scopes: list[int | None] = sorted(projects) if projects else [None]
    requests = [(scope, span) for scope in scopes for span in _spans(missing, repair_days, scope)]
    with st.container(horizontal=True, vertical_alignment="center"):
        label = f"Backfill {format.many(len(repair_days), 'missing day')}"
        if st.button(
            label, type="primary", icon=":material/build:", key="backfill", disabled=not repair_days
        ):
            progress.started("backfill", [_ask(scope, span, at) for scope, span in requests])
        if st.button(
            "Preview", icon=":material/visibility:", key="preview-backfill", disabled=not repair_days
        ):
            progress.started("backfill", [_ask(scope, span, at, True) for scope, span in requests])
        st.caption(_consequence(repair_days, projects))


def _dates(missing: Missing) -> set[date]:
    """Return the selected days among those missing in some project; all if none is selected."""
    options = sorted({day.date for day in missing})
    selection = [day for day in st.session_state.get("repair", []) if day in options]
    st.session_state["repair"] = selection
    selection = st.multiselect(
        "Days to repair", options, key="repair", placeholder="Every missing day", format_func=str
    )
    return set(selection or options)


def _consequence(repair_days: Missing, projects: set[int]) -> str:
    if not repair_days:
        return "The ticked projects miss none of these days."
    dates = [day.date for day in repair_days]
    whose = f"in {format.many(len(projects), 'ticked project')}" if projects else "in every project"
    return (
        f"Counts again and seals what is missing from {min(dates)} to {max(dates)} {whose}; "
        "days already sealed stay as they are."
    )


def _spans(missing: Missing, repair_days: Missing, project_id: int | None) -> list[tuple[date, date]]:
    """Return ranges over the days to repair of a project (None: of any), without other missing days."""
    mine = [day for day in missing if project_id in (None, day.project_id)]
    dates_chosen = {day.date for day in repair_days if project_id in (None, day.project_id)}
    runs = groupby(sorted({day.date for day in mine}), key=dates_chosen.__contains__)
    spans = [list(dates) for is_selected, dates in runs if is_selected]
    return [(dates[0], dates[-1]) for dates in spans]


def _ask(project_id: int | None, span: tuple[date, date], at: datetime, dry_run: bool = False) -> int:
    first, last = map(str, span)
    return ask("backfill", f"{first}..{last}", at, project_id, {"from": first, "to": last}, dry_run)


def _by_project(missing: Missing) -> list[dict[str, Any]]:
    rows = []
    for project_id, missing_days in groupby(missing, key=lambda day: day.project_id):
        absent = list(missing_days)
        dates = [f"{day.date}" for day in absent]
        rows.append(
            {
                "project_id": project_id,
                "project": absent[0].project,
                "days": len(absent),
                "first": absent[0].date,
                "last": absent[-1].date,
                "dates": ", ".join(dates[:6]) + (f" and {len(dates) - 6} more" if len(dates) > 6 else ""),
            }
        )
    return rows


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
