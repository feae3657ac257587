"""One customer: its bill so far and projected, trend, projects, limits, moved projects, and its files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import streamlit as st

from console import address
from console.data import limits, spending
from console.data.cache import cached
from console.data.queries import customers
from console.data.queries.rows import Row
from console.data.session import current_scope
from console.data.transactions import ReadTransaction, read_transaction_as
from console.ui import downloads, escape, limit_states, links
from console.ui.page_header import loading
from console.ui.table import Column, table
from console.views.customers import bill_figures, incidents, moved, projects
from console.views.limits import of_project
from metering.alerts import incidents as incident_list
from metering.alerts.incidents import Incident
from metering.catalogue.periods import Month
from metering.config.settings import current_settings
from metering.db.scope import Scope
from metering.exports.export import Export
from metering.months import revenue
from metering.organizations import budgets
from metering.organizations.budgets import Budget
from metering.pricing import plans
from metering.running.burn_down import LimitsQuery

LIMITS = (
    Column("shown", "State", "state"),
    Column("project_id", "Id", "id", narrow="hidden"),
    Column("project", "Project", "name", link=lambda row: links.project(row["project_id"], row["meter"])),
    *of_project.COLUMNS[1:],
)
CHANGES = (
    Column("what", "What"),
    Column("amount", "Last month", "money"),
    Column("before", "Month before", "money"),
    Column("change", "Change", "money", narrow="figure"),
    Column("currency", "Currency"),
)


@dataclass(frozen=True)
class CustomerData:
    """A customer as of `at`: months, projects, limits near or over, incidents, and changes."""

    at: datetime
    organization: Row | None
    months: list[Row]
    projects: list[Row]
    limits: list[Row]
    incidents: list[Incident]
    budgets: list[Budget]
    moved: list[Row]
    changes: list[Row]


@cached
def query(scope: Scope, organization_id: int) -> CustomerData:
    """Return a customer's data without the running month, which is rated beside the pages."""
    late = limits.behind(scope)
    with read_transaction_as(scope) as page:
        running, connection = Month.of(page.at), page.connection
        since = revenue.last_months(running, bill_figures.MONTHS)
        return CustomerData(
            page.at,
            customers.find(connection, organization_id),
            revenue.sum_bills(connection, since, "total", organization_id),
            customers.projects(connection, organization_id, running),
            limits.read(page, late, LimitsQuery(near=0.8, organization=organization_id)),
            incident_list.read(connection, organization_id=organization_id),
            _budgets(page, organization_id),
            customers.moved(connection, organization_id, since[0]),
            revenue.changes(connection, organization_id, running.previous()),
        )


def _budgets(page: ReadTransaction, organization_id: int) -> list[Budget]:
    """Return the budgets of a customer and of its projects, beside the running month."""
    all_budgets = budgets.compare(page.connection, plans.load(current_settings().plans), page.at)
    own = {
        row["project_id"] for row in customers.projects(page.connection, organization_id, Month.of(page.at))
    }
    return [one for one in all_budgets if one.organization_id == organization_id or one.project_id in own]


def render(organization_id: int, as_of: Callable[[datetime], None]) -> None:
    """Show the customer of that id, or say that there is none."""
    scope = current_scope()
    with loading():
        read = query(scope, organization_id)
    as_of(read.at)
    if read.organization is None:
        address.refuse("organization", str(organization_id), "the id of a customer that exists")
        return
    rating = spending.latest(scope, spending.PATIENCE)
    own = rating.of_organization(organization_id) if rating else None
    running = Month.of(read.at)
    _title(read.organization)
    if rating is None:
        spending.await_rating()
    bill_figures.render(own, read.months, running)
    bill_figures.trend(read.months, own, running)
    _changes(read.changes, running.previous())
    projects.render(read.projects, own, read.limits, rating)
    _limits(read.limits, organization_id)
    incidents.render(read.incidents, read.budgets)
    moved.render(read.moved)
    if any(row["bills"] for row in read.months):
        downloads.of_export(
            "Download this customer's bills, CSV",
            Export.for_organization(organization_id),
            f"fleetmeter-bills-of-customer-{organization_id}.csv",
            "customer-csv",
        )


def _title(organization: Row) -> None:
    number = organization["id"]
    steps = (
        links.anchor(links.address("customers"), "All customers"),
        links.anchor(links.address("limits", {"organization": number}), "Its limits"),
        links.anchor(links.address("explore", {"where": f"organization:{number}"}), "Explore its usage"),
    )
    st.html(
        f"<h2 style='margin:0;overflow-wrap:anywhere'>{escape.html(organization['name'])}</h2>"
        f"<div>{escape.html(organization['tier'].capitalize())} tier · customer {number} · since"
        f" {organization['created_at']:%Y-%m-%d} · {' · '.join(steps)}</div>"
    )


def _changes(changes: Sequence[Row], month: Month) -> None:
    if not changes:
        return
    st.subheader(f"Why the bill of {month} changed", anchor=False)
    titles = limits.titles(current_scope())
    rows = [{**row, "what": _what(row["key"], titles)} for row in changes]
    table(rows, CHANGES, "customer-changes", f"Parts of the bills of {month} and of the month before")


def _what(key: str, titles: Mapping[str, str]) -> str:
    if key in ("plan_fee", "adjustments"):
        return {"plan_fee": "Plan fees", "adjustments": "Adjustments"}[key]
    return f"{titles.get(key, key)}, overage"


def _limits(rows: Sequence[Row], organization_id: int) -> None:
    st.subheader("Limits near or over", anchor=False)
    if not rows:
        st.success("No project has used 80 % of an allowance.", icon=":material/check_circle:")
        return
    limit_rows = [{**row, **limit_states.words(row)} for row in rows]
    table(limit_rows, LIMITS, "customer-limits", "Limits of this customer's projects, the most used first")
    if len(rows) == LimitsQuery().most:
        every = links.address("limits", {"organization": organization_id})
        st.html(f"The first {len(rows)} are shown: {links.anchor(every, 'all of its limits')}")
