"""Gaps that block the close of a month: their possible cost, and a form to accept one with a reason."""

from datetime import datetime

import streamlit as st
from sqlalchemy import Connection, text

from console.billing_actions import accept_gap
from console.data.queries.rows import Row, every
from console.data.session import has_role
from console.data.transactions import read_transaction
from console.ui import confirm_dialog, escape, notices
from metering.catalogue import platform
from metering.catalogue.periods import Month
from metering.catalogue.sources import COUNTER_SOURCES, quoted
from metering.config.settings import current_settings
from metering.errors import FleetmeterError
from metering.months import gaps
from metering.pricing import plans

MOST_ESTIMATES, MOST_CAPTIONS = 5, 2  # projects of a gap with an estimate of the charge at risk

OPEN = text(f"""
    SELECT g.*,
        coalesce(g.project_ids, ARRAY(SELECT id FROM {platform.PROJECTS} p ORDER BY id LIMIT 5)) AS some
    FROM fleetmeter_gaps() g WHERE g.covered_at IS NULL AND g.accepted_at IS NULL
        AND g.source IN {quoted(COUNTER_SOURCES)}
        AND g.starts_at < :end AND coalesce(g.ends_at, 'infinity') > :start
    ORDER BY g.starts_at LIMIT 20""")


def blocking(connection: Connection, month: Month) -> list[Row]:
    """Return the open gaps of counter sources in `month`."""
    return every(connection, OPEN, **month.bounds())


def render_blocking(open_gaps: list[Row], at: datetime) -> None:
    """Show each gap with the button that accepts it."""
    if not open_gaps:
        return
    st.subheader("Gaps that block the close", anchor=False)
    for gap in open_gaps:
        with st.container(horizontal=True, vertical_alignment="center", key=f"gap-{gap['id']}"):
            end = f"{gap['ends_at']:%Y-%m-%d %H:%M}" if gap["ends_at"] else "now"
            whose = "every project" if gap["project_ids"] is None else f"{len(gap['project_ids'])} projects"
            st.markdown(
                f"**{gap['source']}** was blind from {gap['starts_at']:%Y-%m-%d %H:%M} to {end} UTC "
                f"in {whose}: {escape.markdown(gap['reason'])}",
                width="stretch",
            )
            if has_role("admin"):
                confirm_dialog.button("Accept", f"accept-{gap['id']}", ":material/gavel:")
        for sentence in _estimates(gap, at)[:MOST_CAPTIONS]:
            st.caption(sentence)
        _question(gap, at)


def _question(gap: Row, at: datetime) -> None:
    def explain() -> None:
        st.markdown("The months it touches close over it; what was not counted is not billed.")
        for sentence in _estimates(gap, at):
            st.caption(sentence)
        st.text_input("Why its usage may be left out", key=f"reason-{gap['id']}", max_chars=500)

    def do() -> None:
        reason = str(st.session_state.get(f"reason-{gap['id']}") or "")
        try:
            accept_gap(gap["id"], reason, at)
        except FleetmeterError as error:
            notices.error(str(error))

    confirm_dialog.ask(f"accept-{gap['id']}", f"Accept gap {gap['id']}?", explain, "Accept it", do)


def _estimates(gap: Row, at: datetime) -> list[str]:
    price_plans = plans.load(current_settings().plans)
    with read_transaction() as page:
        return [
            str(gaps.at_risk(page.connection, project, gap["starts_at"], gap["ends_at"] or at, price_plans))
            for project in gap["some"][:MOST_ESTIMATES]
        ]
