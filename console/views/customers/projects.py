"""The projects of a customer: bill so far and projected, last month, state of limits, incidents."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from console.data import spending
from console.data.queries.rows import Row
from console.data.spending import Spending
from console.ui import format, limit_states, links
from console.ui.states import StatusLabel
from console.ui.table import Column, table
from metering.running.limit_states import STATES
from metering.running.spend import Spend

COLUMNS = (
    Column("project_id", "Id", "id", narrow="hidden"),
    Column("project", "Project", "name", link=lambda row: links.project(row["project_id"])),
    Column("shown", "Limits", "state", help="The worst state of a limit"),
    Column("incidents", "Incidents", "count"),
    Column("so_far", "Bill so far", "money", narrow="figure"),
    Column("projected", "Projected", "money"),
    Column("currency", "Currency"),
    Column("last_month", "Last month", "money"),
    Column("last_currency", "Currency of last month"),
    Column("change", "Change", "money"),
    Column("active", "State"),
)


def render(
    projects: Sequence[Row], own: Sequence[Spend] | None, limits: Sequence[Row], rating: Spending | None
) -> None:
    """Show the projects, active ones first; what was not rated yet is unknown."""
    st.subheader(format.many(len(projects), "project"), anchor=False)
    if not projects:
        st.info("This customer has no project now.")
        return
    spent = {one.project_id: one for one in own or ()}
    worst = _worst(limits)
    rows = [_row(row, spent.get(row["project_id"]), worst.get(row["project_id"])) for row in projects]
    same = all(row["last_currency"] in (None, row["currency"]) for row in rows)
    columns = [column for column in COLUMNS if not (same and column.key == "last_currency")]
    table(rows, columns, "customer-projects", "Projects of this customer with their bills and limits")
    if rating is not None:
        st.caption(spending.note(rating))


def _row(row: Row, spent: Spend | None, state: str | None) -> dict[str, Any]:
    return {
        **row,
        "last_currency": row["currency"],
        "so_far": spent.so_far if spent else None,
        "projected": spent.projected if spent else None,
        "currency": spent.currency if spent else row["currency"],
        "shown": _label(state),
        "active": "active" if row["is_active"] else "inactive",
    }


def _label(state: str | None) -> StatusLabel:
    return limit_states.LABELS[state or "ok"]


def _worst(limits: Sequence[Row]) -> dict[int, str]:
    """Return the worst state of each project's limits."""
    worst: dict[int, str] = {}
    for row in limits:
        current = worst.get(row["project_id"], "ok")
        worst[row["project_id"]] = min(current, row["state"], key=STATES.index)
    return worst
