"""Limits: who is over or near what the tier includes, in the running month."""

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from console import address
from console.data.cache import cached
from console.data.queries.rows import Row
from console.data.session import current_scope
from console.data.transactions import read_transaction_as
from console.ui import format
from console.ui.page_header import head, loading
from console.ui.table import Column, table
from metering.catalogue.meters import METERS
from metering.catalogue.periods import Month
from metering.config.settings import current_settings
from metering.db.scope import Scope
from metering.months.due import due_months
from metering.pricing import plans
from metering.running import allowances

SHARES = {"100": "Over", "80": "From 80 %", "50": "From 50 %"}
NEAR = 0.8  # of what is included
PROJECTS = (
    Column("state", "State"),
    Column("project_id", "Id", "id"),
    Column("project", "Project", "name"),
    Column("organization", "Organization", "name"),
    Column("tier", "Tier"),
    Column("label", "Meter"),
    Column("share", "Used of included", "percent"),
    Column("used", "Used", "count"),
    Column("included", "Included", "count"),
    Column("unit", "Unit"),
    Column("kind", "Beyond it"),
)
ORGANIZATIONS = (
    Column("state", "State"),
    Column("id", "Id", "id"),
    Column("organization", "Organization", "name"),
    Column("tier", "Tier"),
    Column("what", "What"),
    Column("share", "Used of included", "percent"),
    Column("used", "Used", "count"),
    Column("included", "Included", "count"),
)


# Whether a month waits to be closed is looked up in every project's bills.
@cached
def behind(scope: Scope) -> bool:
    """Whether some month before the running one is still open."""
    with read_transaction_as(scope) as page:
        return bool(due_months(page.connection, page.at))


@cached
def query(scope: Scope, near: float) -> tuple[datetime, list[Row], list[Row]]:
    """When it was read, and the projects and organizations that used that share of an allowance."""
    with read_transaction_as(scope) as page:
        version = plans.load(current_settings().plans).in_force(Month.of(page.at).last.date)
        projects = allowances.projects(page.connection, version, page.at, near, behind(scope))
        return page.at, projects, allowances.organizations(page.connection, version, near)


def show() -> None:
    """Show the page."""
    address.parse("share", address.one_of(tuple(SHARES)), "one of 50, 80, 100 percent")
    near = int(st.session_state.get("share") or 80) / 100
    as_of = head("Limits")
    with loading():
        at, projects, organizations = query(current_scope(), near)
    as_of(at)
    st.session_state.setdefault("share", "80")
    share = st.segmented_control(
        "Show", list(SHARES), format_func=SHARES.__getitem__, key="share", required=True
    )
    address.write("share", str(share))
    _summary(projects, organizations, near)
    if projects:
        st.subheader("Projects", anchor=False)
        rows = [{**row, **words(row)} for row in projects]
        table(rows, PROJECTS, "limits", "Meters by how much of the allowance is used, the most first")
        if len(projects) == 200:
            st.caption("The first 200 are shown.")
    if organizations:
        st.subheader("Organizations", anchor=False)
        rows = [{**row, "state": _state(row)} for row in organizations]
        table(
            rows,
            ORGANIZATIONS,
            "organization-limits",
            "Projects and users of organizations against their tier",
        )


def words(row: Row) -> dict[str, str]:
    """Return the words for a row of usage against an allowance."""
    meter = METERS[row["meter"]]
    return {
        "state": _state(row),
        "label": meter.label,
        "unit": format.unit_label(meter.unit),
        "kind": _beyond(row),
    }


def _beyond(row: Row) -> str:
    if not row["hard"]:
        return "is charged"
    # The backend may ask before it takes more; Fleetmeter itself refuses nothing.
    reached = row["used"] is not None and row["used"] > row["included"]
    return "hard limit; not enforced: still counting" if reached else "hard limit"


def _state(row: Row) -> str:
    """Return the state; at the limit an alert opens, so that it is more than near."""
    if row["used"] is None:
        return "unknown"
    if row["used"] >= row["included"]:
        return "▲ over" if row["used"] > row["included"] else "▲ at the limit"
    return "◐ near" if row["used"] >= NEAR * row["included"] else "● within"


def _summary(projects: Sequence[Row], organizations: Sequence[Row], near: float) -> None:
    over = {row["project_id"] for row in projects if row["used"] > row["included"]}
    if not projects and not organizations:
        st.success(f"Nobody has used {near:.0%} of an allowance.", icon=":material/check_circle:")
    elif over:
        st.warning(
            f"{format.many(len(over), 'project')} over what the tier includes.", icon=":material/data_alert:"
        )
    else:
        st.info("No limit exceeded; these are close.", icon=":material/trending_up:")
