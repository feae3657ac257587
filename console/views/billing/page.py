"""Billing: the charges of a month, project by project."""

from dataclasses import dataclass
from datetime import datetime

import streamlit as st

from console import address
from console.data import spending
from console.data.cache import cached
from console.data.queries import billing
from console.data.queries.rows import Row
from console.data.session import current_scope
from console.data.transactions import read_transaction_as
from console.ui import approvals, error_boundary, escape, format, links, progress
from console.ui.page_header import head, loading
from console.ui.table import Column, table
from console.views.billing import (
    adjustment_form,
    bills_table,
    corrected_bill,
    customers,
    gaps,
    invoice,
    month_choice,
    revenue,
    totals,
    upcoming,
)
from metering.catalogue.periods import Month
from metering.config.settings import current_settings
from metering.db.scope import Scope
from metering.months import other_owner, unapplied
from metering.pricing import plans

UNBILLED = (
    Column("project_id", "Id", "id"),
    Column("project", "Project", "name", link=lambda row: links.project(row["project_id"])),
    Column("organization", "Customer", "name"),
    Column("days_present", "Days sealed", "count"),
    Column("messages", "Messages", "count"),
    Column("api_calls", "API calls", "count"),
    Column("reason", "Why it has no bill"),
)


@dataclass(frozen=True)
class BillingData:
    """A month: sums by currency and those of the month before, meters over, what blocks, corrections.

    `to_settle`: sentences about corrections that are in no bill, or in another owner's.
    """

    totals: list[Row]
    before: list[Row]
    lines: list[Row]
    unbilled: list[Row]
    blocking: list[Row]
    adjusted: list[Row]
    to_settle: list[str]


@cached
def read_months(scope: Scope) -> tuple[datetime, list[Month]]:
    """Return the instant and the months to choose from."""
    with read_transaction_as(scope) as page:
        return page.at, billing.months(page.connection, page.at)


@cached
def read_month(scope: Scope, month: str, over: bool) -> BillingData:
    """Return the data of a month without its bills."""
    one, offered = Month.parse(month), plans.load(current_settings().plans)
    with read_transaction_as(scope) as page:
        return BillingData(
            billing.totals(page.connection, one),
            billing.totals(page.connection, one.previous()),
            billing.lines(page.connection, one),
            billing.unbilled(page.connection, one, page.at),
            gaps.blocking(page.connection, one) if over else [],
            adjustment_form.of_month(page.connection, one),
            [
                str(each)
                for each in (
                    *unapplied.of_month(page.connection, one, offered),
                    *other_owner.of_month(page.connection, one),
                )
            ],
        )


@cached
def read_bills(scope: Scope, month: str, skipped: int) -> list[Row]:
    """Return one page of bills."""
    with read_transaction_as(scope) as page:
        return billing.bills(page.connection, Month.parse(month), bills_table.PER_PAGE, skipped)


def show() -> None:
    """Show the page."""
    scope, as_of = current_scope(), head("Billing")
    project = address.read("project", address.number, "the id of a project with a bill")
    with loading():
        at, months = read_months(scope)
        month = month_choice.of_address(months, at)
    if project is not None:
        as_of(at)
        invoice.render(project, month)
        return
    with loading():
        read = read_month(scope, str(month), month.end <= at)
        count = sum(row["bills"] for row in read.totals)
        bills = read_bills(scope, str(month), bills_table.skipped(count))
        since = corrected_bill.query(scope, str(month)) if bills else corrected_bill.NONE
    as_of(at)
    month_choice.render(months, count, read.unbilled, at)
    approvals.show(at)
    progress.follow("billing")
    if bills:
        totals.cards(read.totals, read.before)
        revenue.render(scope, Month.of(at))
        customers.render(scope, month)
        corrected_bill.say(since)
        bills_table.render(bills, count, month, read.totals, since)
        totals.overage(read.lines)
    elif month.end <= at and not read.unbilled:
        st.info(f"{month} has no bill and no sealed day: no project was metered then.")
    if month.start <= at < month.end:
        _spend(scope)
    if not bills:
        revenue.render(scope, Month.of(at))
    if read.unbilled:
        running = at < month.end
        st.subheader("So far, sealed days only" if running else "Not billed yet", anchor=False)
        table(read.unbilled, UNBILLED, "unbilled", "Projects with usage in the month and no bill")
        gaps.render_blocking(read.blocking, at)
    for sentence in read.to_settle:
        st.warning(escape.markdown(sentence, 400), icon=":material/currency_exchange:")
    adjustment_form.render(read.adjusted, month, at)


def _spend(scope: Scope) -> None:
    st.fragment(_spent, run_every=60 if spending.latest(scope, spending.PATIENCE) else 2)()


@error_boundary.guarded
def _spent() -> None:
    rating = spending.latest(current_scope())
    if rating is None:
        st.info("Rating the month so far …", icon=":material/hourglass_empty:")
        return
    for currency in sorted(rating.so_far):
        with st.container(horizontal=True, key=f"spend-{currency}"):
            st.metric("Charged so far", format.money(rating.so_far[currency], currency), border=True)
            st.metric("Projected month end", format.money(rating.projected[currency], currency), border=True)
    if rating.so_far:
        st.caption(spending.note(rating))
        upcoming.render(rating)
