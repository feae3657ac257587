"""Overview: problems, figures of the fleet, and the busiest projects."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import streamlit as st

from console.data import spending
from console.data.cache import cached
from console.data.queries import fleet, problems
from console.data.queries.problems import Attention
from console.data.queries.rows import Row
from console.data.session import current_scope
from console.data.transactions import read_transaction_as
from console.pages import link
from console.ui import approvals, error_boundary, format, links, listing, pauses
from console.ui.health_summary import WELL, WELL_OF_ORGANIZATION, show_problems
from console.ui.page_header import head, loading
from console.ui.table import Column, table
from console.views.overview import causes, days_chart, figure_cards, pins
from metering.catalogue.periods import Day
from metering.days import completeness
from metering.days.completeness import SealedDay
from metering.db.scope import Scope
from metering.running import spend

TOP = (
    Column("project_id", "Id", "id"),
    Column("project", "Project", "name", link=lambda row: links.project(row["project_id"])),
    Column("organization", "Customer", "name", link=lambda row: links.organization(row["organization_id"])),
    Column("tier", "Tier"),
    Column("messages", "Messages this month", "count"),
    Column("api_calls", "API calls", "count"),
    Column("storage_bytes", "Storage", "bytes"),
    Column("active_devices", "Active devices", "count"),
)
DAYS = (
    Column("date", "Day", "date"),
    Column("projects", "Projects sealed", "count"),
    Column("inbound", "Messages in", "count"),
    Column("outbound", "Messages out", "count"),
    Column("api_calls", "API calls", "count"),
    Column("storage_bytes", "Storage", "bytes"),
)
NEARLY_ALL = 0.99  # of the projects
FIGURES = ("messages", "api_calls", "storage_bytes", "active_devices")
NOT_SEALED: Row = {"projects": 0, **dict.fromkeys(FIGURES)}
CHECK = 128  # pixels


@dataclass(frozen=True)
class Overview:
    """The data of the page, as of `at`."""

    at: datetime
    attention: Attention
    totals: Row
    trend: list[Row]
    top: list[Row]
    since_day: fleet.Changes | None
    since_now: fleet.Changes | None


@cached
def query(scope: Scope) -> Overview:
    """Return the data of the page."""
    with read_transaction_as(scope) as page:
        last = Day.of(page.at).previous()
        days = completeness.read(page.connection, Day(last.date - timedelta(days=29)), last, page.at)
        missing = completeness.find_missing(page.connection, days, page.at)
        return Overview(
            page.at,
            problems.find(page.connection, page.at, missing, platform=scope is None),
            fleet.totals(page.connection),
            fleet.trend(page.connection, days, scope),
            fleet.top(page.connection),
            fleet.changes(page.connection, days, _last_sealed(days), live=False),
            fleet.changes(page.connection, days, Day.of(page.at), live=True),
        )


def _last_sealed(days: Sequence[SealedDay]) -> Day:
    return Day(next((day.date for day in reversed(days) if day.projects), days[-1].date))


def show() -> None:
    """Show the page."""
    scope, as_of = current_scope(), head("Overview", renews=True)
    with loading():
        page = query(scope)
    as_of(page.at)
    show_problems(page.attention.problems, page.at, well=WELL if scope is None else WELL_OF_ORGANIZATION)
    approvals.show(page.at)
    pauses.notice(pauses.read(scope))
    if not page.totals["projects"]:
        _nothing_yet()
        return
    trend = _whole(page.trend, page.attention.dates)
    figure_cards.render(page.totals, trend, page.since_day, page.since_now)
    newest = next((row["date"] for row in reversed(page.trend) if row["projects"]), page.at.date())
    causes.render(newest, page.at.date(), page.since_day, page.since_now)
    pins.render()
    _checks(page.attention, scope)
    _trend(page.trend, page.attention.dates)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Busiest projects this month", anchor=False, width="stretch")
        link("project", "Look at a project")
    listing.render(page.top, TOP, "The ten projects with the most messages in the running month")


def _nothing_yet() -> None:
    st.info(
        "Nothing has been counted yet. Start `fleetmeter counter` to count messages and "
        "`fleetmeter runner` to read the other sources; `fleetmeter doctor` says what is missing.",
        icon=":material/hourglass_empty:",
    )


def _whole(trend: Sequence[Row], lacking: Set[date]) -> list[Row]:
    """Return `trend` with days unknown that many projects lack: their sums would look like a fall."""
    enough = NEARLY_ALL * max((row["projects"] for row in trend), default=0)
    return [
        {**row, **NOT_SEALED} if row["date"] in lacking and row["projects"] < enough else row for row in trend
    ]


def _checks(attention: Attention, scope: Scope) -> None:
    grid = st.grid("auto", min_column_width=160, row_height=CHECK, key="checks")
    money = st.fragment(_money, run_every=60 if spending.latest(scope, spending.PATIENCE) else 2)
    for label, part in (("Month to date", "so_far"), ("Projected", "projected")):
        with grid.cell():
            money(label, part)
    grid.metric("Missing days, last 30", format.count(attention.missing), border=True, height="stretch")
    if scope is None:
        grid.metric("Failed runs, last 7 days", format.count(attention.failed), border=True, height="stretch")
    grid.metric("Incidents not acknowledged", format.count(attention.waiting), border=True, height="stretch")


@error_boundary.optional
def _money(label: str, part: str) -> None:
    spent = spending.latest(current_scope())
    sums = {} if spent is None else getattr(spent, part)
    words = " + ".join(
        format.money(amount, currency) for currency, amount in sorted(sums.items()) if amount is not None
    )
    if len(sums) == 1:  # beside the amount the currency would not fit a narrow screen
        (currency,) = sums
        amount = sums[currency]
        label, words = f"{label}, {currency}", "not yet" if amount is None else format.count(amount)
    st.metric(
        label,
        "rating…" if spent is None else words or "no charge",
        border=True,
        height=CHECK,
        help=None if spent is None else f"Rated {format.stamp(spent.at)}. Projected: {spend.ASSUMPTION}.",
        delta=_overage(spent, part),
        delta_color="off",
        delta_arrow="off",
    )


def _overage(spent: spending.Spending | None, part: str) -> str | None:
    """Return the overage of a sum in words: the part without the fixed fees."""
    sums: dict[str, Decimal] = {} if spent is None else getattr(spent, f"overage_{part}")
    words = " + ".join(format.money(amount, currency) for currency, amount in sorted(sums.items()))
    return f"of it overage {words}" if words else None


def _trend(trend: Sequence[Row], lacking: Set[date]) -> None:
    st.subheader("Messages by day, last 30 sealed days", anchor=False)
    chart, rows = st.tabs(["Chart", "Table"], key="trend", on_change="rerun")
    with chart:
        if any(row["messages"] is not None for row in trend):
            days_chart.render(trend, sorted(lacking))
            _say_incomplete(sorted(lacking))
        else:
            st.info("No day is sealed yet: the daily job seals the first one after midnight UTC.")
    if rows.open:  # a grid is made when its tab is open
        with rows:
            table(trend[::-1], DAYS, "trend-table", "Usage of the whole fleet by day, newest first")


def _say_incomplete(dates: Sequence[date]) -> None:
    if dates:
        named = ", ".join(f"{day}" for day in dates[:5]) + (" …" if len(dates) > 5 else "")
        st.caption(f":orange[:material/warning:] Without the projects whose day is missing: {named}")
