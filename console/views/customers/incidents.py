"""The open incidents of a customer, and its budgets beside the projected charge."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from console.ui import links, states
from console.ui.table import Column, table
from metering.alerts.incidents import Incident
from metering.organizations.budgets import Budget

INCIDENTS = (
    Column("shown", "Severity", "state"),
    Column("title", "Incident", narrow="title", link=lambda row: row["address"]),
    Column("opened_at", "Since", "age"),
    Column("acknowledged_by", "Acknowledged by", "name"),
)
BUDGETS = (
    Column("shown", "State", "state"),
    Column("of", "Budget of", "name"),
    Column("amount", "Budget", "money"),
    Column("currency", "Currency"),
    Column("so_far", "Bill so far", "money"),
    Column("projected", "Projected", "money", narrow="figure"),
    Column("billed_in", "Billed in"),
)
SEVERITIES = {"critical": states.CRITICAL, "warning": states.WARNING}


def render(incidents: Sequence[Incident], budgets: Sequence[Budget]) -> None:
    """Show the open incidents, critical ones first, and each budget with its state."""
    st.subheader("Incidents", anchor=False)
    if incidents:
        rows = [_incident(incident) for incident in incidents]
        table(rows, INCIDENTS, "customer-incidents", "Open incidents of this customer", placeholder="—")
    else:
        st.success("No incident is open for this customer.", icon=":material/check_circle:")
    if budgets:
        st.subheader("Budgets", anchor=False)
        budget_rows = [_budget(budget) for budget in budgets]
        table(budget_rows, BUDGETS, "customer-budgets", "Budgets beside the charge of the running month")


def _incident(incident: Incident) -> dict[str, Any]:
    return {
        **vars(incident),
        "title": incident.title,
        "shown": SEVERITIES.get(incident.severity, states.WARNING),
        "address": links.address("alerts", {"incident": incident.id}),
    }


def _budget(budget: Budget) -> dict[str, Any]:
    whose = budget.project if budget.project_id is not None else budget.organization
    percent = budget.percent
    return {
        **vars(budget),
        "of": whose or "",
        "shown": states.UNKNOWN if percent is None else states.of_share(percent, 100),
    }
