"""What a preview found: rows, usage and money that the run would change, then by project."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from console.ui import format, links
from console.ui.table import Column, table
from metering.alerts import titles

PARTS = {
    "rows": "Rows added (negative: removed)",
    "usage": "Usage",
    "money": "Billed",
    "month_to_date": "Change of the running month's charge",
}


def _project(row: Mapping[str, Any]) -> str | None:
    return None if row["project_id"] is None else links.project(row["project_id"])


PROJECTS = (
    Column("project_id", "Project", "id", link=_project),
    Column("days", "Days sealed", "count"),
    Column("bills", "Bills", "count"),
    Column("charge", "Charge"),
    Column("currency", "Currency"),
)
CHANGES = (Column("what", "What"), Column("by", "Would be"))
NEXT_BILLS = (
    Column("project_id", "Project", "id", link=_project),
    Column("month", "Month"),
    Column("days", "Days", "count"),
    Column("charge", "Charge"),
    Column("currency", "Currency"),
)
ALERTS = (
    Column("title", "Incident"),
    Column("project_id", "Project", "id", link=_project),
    Column("kind", "Kind"),
    Column("severity", "Severity"),
)


def render(changes: Mapping[str, Any], key: str) -> None:
    """Render the changes that the run would make: rows, usage and money, then by project."""
    rows = [
        {
            "what": f"{label}: {name.replace('_', ' ')}",
            "by": f"{value:,}" if isinstance(value, int) else value,
        }
        for part, label in PARTS.items()
        for name, value in changes[part].items()
        if value
    ]
    st.caption("Nothing was changed. The run would do exactly this:" if rows else "Nothing would change.")
    if rows:
        table(
            rows,
            (Column("what", "What"), Column("by", "Would be")),
            f"preview-{key}",
            "What the run would change",
        )
    if "next_close" in changes:
        _next_close(changes["next_close"], key)
    if changes.get("alerts"):
        with st.expander(f"The first {format.many(len(changes['alerts']), 'incident')}"):
            opened = [alert | {"title": titles.title(alert)} for alert in changes["alerts"]]
            table(opened, ALERTS, f"preview-alerts-{key}", "Incidents that the run would open")
    if changes["projects"]:
        with st.expander(f"The first {format.many(len(changes['projects']), 'project')}"):
            table(changes["projects"], PROJECTS, f"preview-projects-{key}", "What would change, by project")


def _next_close(close: Mapping[str, Any], key: str) -> None:
    sums = ", ".join(f"{total} {currency}" for currency, total in close["money"].items())
    st.caption(
        f"The next close makes {format.many(close['count'], 'bill')}: {sums}."
        if close["count"]
        else "The next close bills nothing."
    )
    if close["bills"]:
        with st.expander(f"The first {format.many(len(close['bills']), 'bill')}"):
            table(close["bills"], NEXT_BILLS, f"preview-bills-{key}", "Bills that the next close makes")
