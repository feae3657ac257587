"""The missing days by project, and the buttons that backfill them."""

from collections.abc import Sequence
from datetime import date, datetime
from itertools import groupby
from typing import Any

import streamlit as st

from console.actions import ask
from console.data.session import has_role
from console.ui import format, links, progress
from console.ui.table import Column, table
from metering.days.expected_days import MissingDay

MISSING = (
    Column("project_id", "Id", "id"),
    Column("project", "Project", "name", link=lambda row: links.project(row["project_id"])),
    Column("days", "Missing days", "count"),
    Column("first", "First", "date"),
    Column("last", "Last", "date"),
    Column("dates", "Which"),
)
Missing = Sequence[MissingDay]


def render(missing: Missing, at: datetime) -> None:
    """Show the missing days and, to operators, the buttons that repair them."""
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
