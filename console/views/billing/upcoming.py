"""The running month's charge by project and customer: the bills that the close would make now."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from console.data.spending import Spending
from console.ui import links
from console.ui.table import Column, table
from metering.running import organization_spend

MOST = 1_000
PROJECTS = (
    Column("project_id", "Id", "id", narrow="hidden"),
    Column("project", "Project", "name", link=lambda row: links.project(row["project_id"])),
    Column("organization", "Customer", "name", link=lambda row: links.organization(row["organization_id"])),
    Column("tier", "Tier"),
    Column("so_far", "Charged so far", "money", narrow="figure"),
    Column("projected", "Projected", "money"),
    Column("currency", "Currency"),
)
CUSTOMERS = (
    Column("organization_id", "Id", "id", narrow="hidden"),
    Column("organization", "Customer", "name", link=lambda row: links.organization(row["organization_id"])),
    Column("projects", "Projects", "count"),
    Column("so_far", "Charged so far", "money", narrow="figure"),
    Column("projected", "Projected", "money"),
    Column("currency", "Currency"),
)


def render(rating: Spending) -> None:
    """Show the upcoming bills, the highest first."""
    st.subheader("Upcoming bills", anchor=False)
    by_customer, by_project = st.tabs(["By customer", "By project"])
    with by_customer:
        rows = highest(organization_spend.by_organization(rating.each))
        table(rows, CUSTOMERS, "upcoming-customers", "Charge of the running month by customer")
    with by_project:
        table(highest(rating.each), PROJECTS, "upcoming-projects", "Charge of the running month by project")
    if rating.projects > MOST:
        st.caption(f"The {MOST:,} highest are shown; Customers lists all.")


def highest(spends: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the highest charges as rows; of equal ones the lowest id first."""
    return [vars(one) for one in sorted(spends, key=lambda one: -one.so_far)[:MOST]]
