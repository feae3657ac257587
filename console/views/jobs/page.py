"""Jobs: the schedule, buttons to run a job, and the last runs."""

from datetime import timedelta

import streamlit as st

from console.actions import cancel
from console.data.cache import cached
from console.data.queries import runs
from console.data.session import current_scope, has_role
from console.data.transactions import read_transaction, read_transaction_as
from console.ui import error_boundary, pauses, progress
from console.ui.page_header import head, loading
from console.views.jobs import failures, history, job
from metering.alerts import backlog
from metering.db.scope import Scope


@cached
def catching_up(scope: Scope) -> str:
    """Return the backlog of days and months in one line; empty if there is none."""
    with read_transaction_as(scope) as page:
        return backlog.summary(backlog.plan(page.connection, page.at))


def show() -> None:
    """Show the page."""
    as_of = head("Jobs", renews=True)
    with loading(), read_transaction() as page:
        latest = runs.latest(page.connection, tuple(job.JOBS))
        failed = runs.unmended(page.connection, page.at - timedelta(days=30))
    as_of(page.at)
    paused = pauses.read(current_scope())
    pauses.notice(paused)
    behind = catching_up(current_scope())
    with st.container(border=True, gap="small"):
        for row in latest:
            job.line(row, page.at, next((one for one in paused if one.job == row["job"]), None))
    progress.follow("jobs")
    if behind:
        st.info(f"Catching up: {behind}.", icon=":material/history:")
    _active()
    failures.render(failed)
    history.render()


@st.fragment(run_every=2)
@error_boundary.guarded
def _active() -> None:
    with read_transaction() as page:
        active = runs.active(page.connection)
    st.subheader("Queued and running", anchor=False)
    if not active:
        st.caption("No queued or running jobs.")
    for run in active:
        with st.container(horizontal=True, vertical_alignment="center", key=f"active-{run['id']}"):
            with st.container(width="stretch"):
                progress.line(run)
            if has_role("operator") and st.button(
                "Cancel", key=f"cancel-{run['id']}", icon=":material/close:"
            ):
                cancel(run["id"])
                st.rerun(scope="fragment")
    if st.session_state.get("active-before", 0) > len(active):
        st.session_state["active-before"] = len(active)
        st.rerun()
    st.session_state["active-before"] = len(active)
