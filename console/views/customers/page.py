"""Customers: the charge of each organization now and last month, its limits and incidents."""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

import streamlit as st

from console import address
from console.data import limits, spending
from console.data.cache import cached
from console.data.queries import customers
from console.data.queries.customers import SORTS, CustomerFilter
from console.data.queries.rows import Row
from console.data.session import current_scope
from console.data.transactions import read_transaction_as
from console.ui import format, limit_states, links, room
from console.ui.page_header import head, loading
from console.ui.states import StatusLabel
from console.ui.table import Column, table
from console.views.customers import customer
from metering.catalogue.periods import Month
from metering.db.scope import Scope
from metering.running import burn_down, organization_spend
from metering.running.limit_states import STATES

PER_PAGE = 50
COLUMNS = (
    Column("id", "Id", "id", narrow="hidden"),
    Column("organization", "Customer", "name", link=lambda row: links.organization(row["id"])),
    Column("shown", "Limits", "state", help="The worst state of a limit of its projects"),
    Column("limits", "Limits near or over", "count"),
    Column("incidents", "Incidents", "count"),
    Column("projects", "Active projects", "count"),
    Column("so_far", "Bill so far", "money", narrow="figure"),
    Column("projected", "Projected", "money"),
    Column("last_month", "Last month", "money"),
    Column("change", "Change", "money", help="Last month against the month before"),
    Column("currency", "Currency"),
    Column("tier", "Tier"),
)


@cached
def query(scope: Scope, filters: CustomerFilter, rated: datetime | None) -> tuple[datetime, list[Row]]:
    """Return the instant and a page of customers; `rated` is the instant of the rating."""
    late, rating = limits.behind(scope), spending.latest(scope)
    with read_transaction_as(scope) as page:
        spends = organization_spend.by_organization(rating.each) if rating else []
        rows = customers.listing(page.connection, Month.of(page.at), spends, filters)
        ids = [row["id"] for row in rows]
        states = burn_down.states_of(page.connection, limits.versions(page), page.at, late, ids)
        return page.at, [{**row, **_limits(states.get(row["id"], {}))} for row in rows]


def _limits(counts: dict[str, int]) -> dict[str, StatusLabel | int]:
    worst = next((state for state in STATES if state in counts), "ok")
    return {"shown": limit_states.LABELS[worst], "limits": sum(counts.values())}


def show() -> None:
    """Show the page: the list, or the customer that the address names."""
    organization = address.read("organization", address.number, "the id of a customer")
    as_of = head("Customers")
    if organization is not None:
        customer.render(organization, as_of)
        return
    scope, filters = current_scope(), _filters()
    rating = spending.latest(scope, spending.PATIENCE)
    with loading():
        at, rows = query(scope, filters, rating.at if rating else None)
    as_of(at)
    _choose(filters)
    if rating is None:
        spending.await_rating()
    else:
        st.caption(spending.note(rating))
    _list(rows, filters)


def _filters() -> CustomerFilter:
    sort = address.read("sort", _sort, f"one of {', '.join(SORTS)}")
    page = address.read("page", address.number, "a page of customers") or 1
    words = st.query_params.get("words", "")[:200]
    return CustomerFilter(words, sort or "so_far", PER_PAGE, (min(page, 10**6) - 1) * PER_PAGE)


def _sort(raw: str) -> customers.Sort:
    return cast(customers.Sort, address.one_of(tuple(SORTS))(raw))


def _choose(filters: CustomerFilter) -> None:
    with room.controls("customers"):
        st.text_input(
            "Find",
            key="customer-words",
            placeholder="Part of a name, or an id",
            max_chars=200,
            on_change=address.bind("words", "customer-words", filters.words, "page"),
        )
        st.selectbox(
            "Sort by",
            list(SORTS),
            format_func=lambda sort: SORTS[sort],
            key="customer-sort",
            width=180,
            on_change=address.bind("sort", "customer-sort", filters.sort, "page"),
        )


def _list(rows: Sequence[Row], filters: CustomerFilter) -> None:
    if not rows:
        st.info("No customer matches." if filters.words else "The platform has no organization yet.")
        return
    listed = rows[0]["listed"]
    st.subheader(format.many(listed, "customer"), anchor=False)
    table(rows, COLUMNS, "customers", "Customers in the order chosen: bills, limits and incidents")
    more = filters.skipped + len(rows) < listed
    if steps := links.pages("customers", filters.skipped // PER_PAGE + 1, more):
        st.html(steps)
