"""Own thresholds of customers, and budgets: their tables, and forms for operators."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import streamlit as st

from console.actions import set_budget, set_thresholds
from console.data.session import has_role, now
from console.data.transactions import read_transaction
from console.ui import escape, format, links
from console.ui.table import Column, table
from metering.alerts import thresholds
from metering.catalogue.meters import METERS, label_of
from metering.catalogue.periods import Month
from metering.config.settings import current_settings
from metering.errors import BudgetRefused, UnknownProject
from metering.organizations import budgets
from metering.organizations.budgets import Budget
from metering.pricing import plans

THRESHOLDS = (
    Column("organization", "Customer", "name", link=lambda row: links.organization(row["organization_id"])),
    Column("meter", "Meter"),
    Column("percents", "Reported at"),
)
BUDGETS = (
    Column("name", "Of", "name", link=lambda row: row["target"]),
    Column("budget", "Budget of a month"),
    Column("so_far", "So far"),
    Column("projected", "Projected"),
    Column("percent", "Projected share", "percent"),
)
MOST = 2**31 - 1


def render() -> None:
    """Show thresholds and budgets, and to operators the forms that change them."""
    with st.expander("Own thresholds and budgets", key="settings", on_change="rerun") as opened:
        if not opened.open:
            return
        with read_transaction() as page:
            offered = plans.load(current_settings().plans)
            own = thresholds.own(page.connection)
            every_budget = budgets.compare(page.connection, offered, page.at)
            currency = offered.in_force(Month.of(page.at).last.date).currency
        _thresholds(own)
        _budgets(every_budget, currency)


def _thresholds(own: Sequence[dict[str, Any]]) -> None:
    default = " and ".join(f"{percent} %" for percent in thresholds.DEFAULT)
    st.markdown(f"**Thresholds of limits**: {default} of an allowance, unless a customer has own ones.")
    if own:
        rows = [
            row
            | {
                "meter": label_of(row["meter"]) if row["meter"] else "Every meter",
                "percents": ", ".join(f"{percent} %" for percent in row["percents"]),
            }
            for row in own
        ]
        table(rows, THRESHOLDS, "own-thresholds", "Customers' own thresholds")
    if has_role("operator"):
        _threshold_form()


def _threshold_form() -> None:
    with st.form("thresholds", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        customer = _identity("Customer's id", "threshold-organization")
        meters = (*METERS, *thresholds.ORGANIZATION_METERS)
        meter = st.selectbox(
            "Meter of the thresholds",
            meters,
            index=None,
            placeholder="Every meter",
            format_func=label_of,
            key="threshold-meter",
        )
        percents = st.text_input("Percent, separated by commas", key="percents", placeholder="80, 100")
        if st.form_submit_button("Set thresholds", key="set-thresholds"):
            _do(lambda: set_thresholds(customer, meter, _percents(percents)))
    st.caption("No percent: the default again.")


def _percents(words: str) -> list[int]:
    try:
        return [int(word.strip().removesuffix("%")) for word in words.split(",") if word.strip()]
    except ValueError:
        raise BudgetRefused(f"thresholds are whole percent like 80, 100, not {words!r}") from None


def _budgets(every_budget: Sequence[Budget], currency: str) -> None:
    shares = ", ".join(f"{percent} %" for percent in budgets.THRESHOLDS)
    st.markdown(f"**Budgets**: an incident at {shares} of the projected charge.")
    if every_budget:
        rows = [_budget_row(budget) for budget in every_budget]
        table(rows, BUDGETS, "budgets", "Budgets beside the projection")
    if has_role("operator"):
        _budget_form(currency)


def _budget_row(budget: Budget) -> dict[str, Any]:
    of_project = budget.project_id is not None
    name = budget.project if of_project else budget.organization
    identity = int((budget.project_id if of_project else budget.organization_id) or 0)
    return {
        "name": name or str(identity),
        "target": links.project(identity) if of_project else links.organization(identity),
        "budget": format.money(budget.amount, budget.currency),
        "so_far": format.money(budget.so_far, budget.billed_in),
        "projected": format.money(budget.projected, budget.billed_in),
        "percent": None if budget.percent is None else budget.percent / 100,
    }


def _budget_form(currency: str) -> None:
    with st.form("budget", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        whose = st.selectbox("Budget of", ("organization", "project"), key="budget-of", width=150)
        identity = _identity("Its id", "budget-id")
        amount = st.number_input(f"Amount a month, {currency}", min_value=0.0, key="budget-amount", width=170)
        if st.form_submit_button("Set budget", key="set-budget"):
            money = Decimal(str(amount)) or None
            _do(lambda: set_budget(whose, identity, money, currency, now()))
    st.caption("An amount of 0 takes the budget away.")


def _identity(label: str, key: str) -> int:
    return int(st.number_input(label, min_value=1, max_value=MOST, step=1, key=key, width=140))


def _do(change: Any) -> None:
    try:
        change()
    except (BudgetRefused, UnknownProject) as error:
        st.error(escape.markdown(str(error), 400))
    else:
        st.rerun()
