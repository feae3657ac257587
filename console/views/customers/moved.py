"""Projects that changed owner: the days and usage of each owner in a customer's bills."""

from collections.abc import Sequence

import streamlit as st

from console.data.limits import titles
from console.data.queries.rows import Row
from console.data.session import current_scope
from console.ui import links
from console.ui.table import Column, table

COLUMNS = (
    Column("month", "Month", link=lambda row: row["address"]),
    Column("project_id", "Id", "id", narrow="hidden"),
    Column("project", "Project", "name", link=lambda row: links.project(row["project_id"])),
    Column("owner", "Owner", "name", link=lambda row: links.organization(row["owner_id"])),
    Column("days", "Days", "count"),
    Column("used", "Usage of these days"),
    Column("billed", "Bill"),
)


def render(moved: Sequence[Row]) -> None:
    """Show the owners of each month with several, so that finance can divide its bill."""
    if not moved:
        return
    st.subheader("Moved projects, by owner", anchor=False)
    named = titles(current_scope())
    rows = [
        {
            **row,
            "month": f"{row['year']}-{row['month']:02d}",
            "address": links.address(
                "billing", {"month": f"{row['year']}-{row['month']:02d}", "project": row["project_id"]}
            ),
            "used": ", ".join(f"{used:,} {named.get(name, name)}" for name, used in row["usage"].items()),
            "billed": "billed to this owner" if row["is_billed"] else "in another owner's bill",
        }
        for row in moved
    ]
    table(rows, COLUMNS, "customer-moved", "Days and usage of each owner in months with several")
