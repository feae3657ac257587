"""Customers: what each organization pays now, paid last month, and where it needs a look."""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

import streamlit as st

from console import address
from console.data import limits, spending
from console.data.cache import cached
from console.data.queries import customers
from console.data.queries.customers import SORTS, Wanted
from console.data.queries.rows import Row
from console.data.session import current_scope
from console.data.transactions import read_transaction_as
from console.ui import format, limit_states, links, room
from console.ui.page_header import head, loading
from console.ui.states import State
from console.ui.table import Column, table
from console.views.customers import customer
from metering.catalogue.periods import Month
from metering.db.scope import Scope
from metering.running import burn_down, organization_spend
from metering.running.limit_states import STATES

PER_PAGE = 50
SHOWN = (
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
def query(scope: Scope, wanted: Wanted, rated: datetime | None) -> tuple[datetime, list[Row]]:
    """When it was read, and a page of customers; `rated` is when the running month was."""
    late, rating = limits.behind(scope), spending.latest(scope)
    with read_transaction_as(scope) as page:
        spends = organization_spend.by_organization(rating.each) if rating else []
        rows = customers.listing(page.connection, Month.of(page.at), spends, wanted)
        ids = [row["id"] for row in rows]
        states = burn_down.states_of(page.connection, limits.versions(page), page.at, late, ids)
        return page.at, [{**row, **_limits(states.get(row["id"], {}))} for row in rows]


def _limits(counted: dict[str, int]) -> dict[str, State | int]:
    worst = next((state for state in STATES if state in counted), "ok")
    return {"shown": limit_states.SHOWN[worst], "limits": sum(counted.values())}


def show() -> None:
    """Show the page: the list, or the customer that the address names."""
    organization = address.read("organization", address.number, "the id of a customer")
    as_of = head("Customers")
    if organization is not None:
        customer.render(organization, as_of)
        return
    scope, wanted = current_scope(), _asked()
    rating = spending.latest(scope, spending.PATIENCE)
    with loading():
        at, rows = query(scope, wanted, rating.at if rating else None)
    as_of(at)
    _choose(wanted)
    if rating is None:
        spending.await_rating()
    else:
        st.caption(spending.note(rating))
    _list(rows, wanted)


def _asked() -> Wanted:
    sort = address.read("sort", _sort, f"one of {', '.join(SORTS)}")
    page = address.read("page", address.number, "a page of customers") or 1
    words = st.query_params.get("words", "")[:200]
    return Wanted(words, sort or "so_far", PER_PAGE, (min(page, 10**6) - 1) * PER_PAGE)


def _sort(raw: str) -> customers.Sort:
    return cast(customers.Sort, address.one_of(tuple(SORTS))(raw))


def _choose(wanted: Wanted) -> None:
    with room.controls("customers"):
        st.text_input(
            "Find",
            key="customer-words",
            placeholder="Part of a name, or an id",
            max_chars=200,
            on_change=address.bind("words", "customer-words", wanted.words, "page"),
        )
        st.selectbox(
            "Sort by",
            list(SORTS),
            format_func=lambda sort: SORTS[sort],
            key="customer-sort",
            width=180,
            on_change=address.bind("sort", "customer-sort", wanted.sort, "page"),
        )


def _list(rows: Sequence[Row], wanted: Wanted) -> None:
    if not rows:
        st.info("No customer matches." if wanted.words else "The platform has no organization yet.")
        return
    listed = rows[0]["listed"]
    st.subheader(format.many(listed, "customer"), anchor=False)
    table(rows, SHOWN, "customers", "Customers in the order chosen: bills, limits and incidents")
    more = wanted.skipped + len(rows) < listed
    if steps := links.pages("customers", wanted.skipped // PER_PAGE + 1, more):
        st.html(steps)
