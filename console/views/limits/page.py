"""Limits: the use of every allowance in the running month, and its day of exhaustion."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import streamlit as st

from console import address
from console.data import limits
from console.data.cache import cached
from console.data.queries.rows import Row
from console.data.session import current_scope
from console.data.transactions import read_transaction_as
from console.ui import limit_states, links, room, states
from console.ui.page_header import head, loading
from console.ui.table import Column, table
from console.views.limits import burn_down_chart, of_project
from metering.db.scope import Scope
from metering.running import limit_states as limit_state
from metering.running import organization_limits, spend
from metering.running.burn_down import LimitsQuery

SHARES = {"0": "All", "50": "From 50 %", "80": "From 80 %", "100": "Over", "reached": "Runs out this month"}
SORTS = {
    "share": "Percentage",
    "used": "Used",
    "included": "Included",
    "project": "Project",
    "organization": "Customer",
    "meter": "Meter",
    "tier": "Tier",
}
PER_PAGE = 50


def _project(row: Mapping[str, Any]) -> str:
    return links.project(row["project_id"], row["meter"])


def _organization(row: Mapping[str, Any]) -> str:
    return links.organization(row["organization_id"])


PROJECTS = (
    Column("shown", "State", "state", narrow="detail"),
    Column("project_id", "Id", "id", narrow="hidden"),
    Column("project", "Project", "name", link=_project),
    Column("label", "Meter", link=of_project.burn_down, narrow="detail"),
    Column("share", "Used of included", "percent", narrow="figure"),
    Column("used", "Used", "count", narrow="detail"),
    Column("included", "Included", "count", narrow="detail"),
    Column("unit", "Unit"),
    Column("end", "100 %", narrow="detail"),
    Column("kind", "Beyond it"),
    Column("organization", "Customer", "name", link=_organization, narrow="detail"),
    Column("tier", "Tier"),
)
ORGANIZATIONS = (
    Column("shown", "State", "state"),
    Column("id", "Id", "id", narrow="hidden"),
    Column("organization", "Customer", "name", link=lambda row: links.organization(row["id"])),
    Column("tier", "Tier"),
    Column("what", "What"),
    Column("share", "Used of included", "percent", narrow="figure"),
    Column("used", "Used", "count"),
    Column("included", "Included", "count"),
)


@cached
def query(scope: Scope, filters: LimitsQuery) -> tuple[datetime, list[Row], list[Row]]:
    """Return the instant, the limits of projects, and those of organizations."""
    late = limits.behind(scope)
    with read_transaction_as(scope) as page:
        rows, only = limits.read(page, late, filters), filters.organization
        versions = limits.versions(page)
        organizations = organization_limits.organizations(page.connection, versions, filters.near, 200, only)
        return page.at, rows, organizations


def show() -> None:
    """Show the page."""
    as_of = head("Limits")
    filters = _filters()
    with loading():
        at, rows, organizations = query(current_scope(), filters)
    as_of(at)
    _choose(filters)
    _note(filters, rows)
    if filters.project is not None and filters.meter is not None and rows:
        burn_down_chart.render(rows[0], at)
    elif filters.organization is not None and filters.meter is not None and rows:
        burn_down_chart.shares(rows)
    _projects(rows[:PER_PAGE], filters, len(rows) > PER_PAGE)
    if organizations and filters.project is None and filters.skipped == 0:
        st.subheader("Projects and users of customers", anchor=False)
        table(
            [{**row, "shown": _of_organization(row)} for row in organizations],
            ORGANIZATIONS,
            "organization-limits",
            "Projects and users of organizations against their tier",
        )


def _filters() -> LimitsQuery:
    """Read the filters from the address."""
    project = address.read("project", address.number, "the id of a project")
    organization = address.read("organization", address.number, "the id of a customer")
    narrowed = project is not None or organization is not None
    share = address.read("share", address.one_of(tuple(SHARES)), "one of 0, 50, 80, 100 percent, or reached")
    share = share or ("0" if narrowed else "80")
    sort = cast(Any, address.read("sort", address.one_of(tuple(SORTS)), f"one of {', '.join(SORTS)}"))
    page = address.read("page", address.number, "a page of limits") or 1
    return LimitsQuery(
        near=0.0 if share == "reached" else int(share) / 100,
        exhausting=share == "reached",
        project=project,
        organization=organization,
        meter=address.read("meter", address.one_of(tuple(limits.titles(current_scope()))), "a meter"),
        words=st.query_params.get("words", "")[:200],
        sort=sort or "share",
        ascending=sort in ("project", "organization", "meter", "tier"),
        most=PER_PAGE + 1,
        skipped=(min(page, 10**6) - 1) * PER_PAGE,
    )


def _choose(filters: LimitsQuery) -> None:
    """Show the filters and the order, and write them into the address."""
    share = "reached" if filters.exhausting else f"{filters.near * 100:.0f}"
    titles = limits.titles(current_scope())
    with room.controls("limits"):
        st.segmented_control(
            "Show",
            list(SHARES),
            format_func=SHARES.__getitem__,
            key="share",
            required=True,
            on_change=address.bind("share", "share", share, "page"),
        )
        st.text_input(
            "Find",
            key="limit-words",
            placeholder="Part of a project's or customer's name",
            max_chars=200,
            on_change=address.bind("words", "limit-words", filters.words, "page"),
        )
        st.selectbox(
            "Meter",
            ["", *titles],
            format_func=lambda name: titles.get(name, "Every meter"),
            key="limit-meter",
            width=220,
            on_change=address.bind("meter", "limit-meter", filters.meter or "", "page"),
        )
        if not filters.exhausting:
            st.selectbox(
                "Sort by",
                list(SORTS),
                format_func=SORTS.__getitem__,
                key="limit-sort",
                width=160,
                on_change=address.bind("sort", "limit-sort", filters.sort, "page"),
            )


def _projects(rows: Sequence[Row], filters: LimitsQuery, more: bool) -> None:
    """Show a page of limits, and links to the first and the next one."""
    if not rows:
        return
    st.subheader("Projects", anchor=False)
    table(
        [{**row, **limit_states.words(row)} for row in rows],
        PROJECTS,
        "limits",
        "Meters by how much of the allowance is used, in the order chosen",
    )
    if steps := links.pages("limits", filters.skipped // PER_PAGE + 1, more):
        st.html(steps)


def _of_organization(row: Row) -> states.StatusLabel:
    """Return the label of a customer's projects or users, which are a hard limit."""
    state = limit_state.state(row["used"], row["included"], False)
    return limit_states.label({**row, "state": state})


def _note(filters: LimitsQuery, rows: Sequence[Row]) -> None:
    """Show the scope of the limits, or that there are none, and the assumption of the forecast."""
    if filters.project is not None or filters.organization is not None:
        st.html(links.anchor(links.address("limits"), "Limits of every project"))
    if not rows:
        share = f"Nobody has used {filters.near:.0%} of an allowance."
        words = "No allowance will run out this month." if filters.exhausting else share
        st.success(words, icon=":material/check_circle:")
        return
    st.caption("Runs out: " + spend.ASSUMPTION + ". Red from 100 %, amber from 80 %: as alerts.")
