"""One job in a line: its purpose, last runs, durations, next run, and buttons to run it."""

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from console.actions import ask
from console.billing_actions import ask_close
from console.data.queries.rows import Row
from console.data.session import has_role
from console.ui import confirm_dialog, format, notices, pauses, progress
from console.ui import escape as names
from jobs import queue
from metering.config.settings import current_settings
from metering.runs.definitions import JobDefinition
from metering.runs.pauses import Pause

# The jobs of the schedule, in the order of the page.
JOBS = {job.name: job for job in queue.DEFINITIONS if job.due}


def line(row: Row, at: datetime, paused: Pause | None = None) -> None:
    """Show the job of a row of `runs.latest`."""
    job = row["job"]
    definition = JOBS[job]
    ran = "-ran" if row["seconds"] else ""  # console.css keeps more room for it
    with st.container(horizontal=True, vertical_alignment="center", key=f"job-{job}{ran}"):
        st.markdown(f"**{definition.title}**  \n:gray[{definition.description}]", width=230)
        st.markdown(f"{_state(row)}  \n:gray[{_when(row, at)}]", width=280)
        if row["seconds"]:
            _durations(row["seconds"])
        with st.container(horizontal=True, horizontal_alignment="right", width="stretch"):
            _offer(definition, at)
            pauses.offer(job, paused, at)


def _state(row: Row) -> str:
    if row["id"] is None:
        return ":gray-badge[:material/schedule: Not run yet]"
    icon, colour, label = progress.look(row)
    return f":{colour}-badge[{icon} {label}] {names.markdown(row['period'])}"


def _durations(seconds: Sequence[float]) -> None:
    """Show the duration of the last run, and those of the last ones as bars, newest at the right."""
    last = format.duration(seconds[-1])
    st.metric(
        "Took", last, chart_data=list(seconds) if len(seconds) > 1 else None, chart_type="bar", width=150
    )


def _when(row: Row, at: datetime) -> str:
    due = JOBS[row["job"]].due
    then = f"next {due(at):%Y-%m-%d %H:%M} UTC" if due else ""
    if row["id"] is None:
        return then
    ended = format.age(row["finished_at"] or row["created_at"], at)
    return f"{ended}, triggered by {names.markdown(row['requested_by'], 40)}  \n{then}"


def _offer(definition: JobDefinition, at: datetime) -> None:
    job = definition.name
    if has_role(queue.role(job)):
        confirm_dialog.button("Run now", f"run-{job}", ":material/play_arrow:")
    if has_role(queue.role(job, True)) and st.button(
        "Preview", key=f"preview-{job}", icon=":material/visibility:"
    ):
        progress.started("jobs", [_ask(definition, at, dry_run=True)])
        st.rerun()
    confirm_dialog.ask(
        f"run-{job}",
        f"{definition.title} now?",
        lambda: _explain(definition, at),
        "Ask for approval" if _waits(job) else "Run it",
        lambda: _run(definition, at),
    )


def _waits(job: str) -> bool:
    return job == "monthly" and "close" in current_settings().approval


def _run(definition: JobDefinition, at: datetime) -> None:
    if not _waits(definition.name):
        progress.started("jobs", [_ask(definition, at)])
        return
    months = ask_close(at)
    notices.success(
        f"{', '.join(months)} waits for a second person." if months else "No month is over and open."
    )


def _explain(definition: JobDefinition, at: datetime) -> None:
    if _waits(definition.name):
        st.markdown("A second person approves the close of every month that is over; then it is closed.")
        return
    period = definition.period(at, {})
    st.markdown(f"{definition.description} This run works on **{period}**, for every project.")
    st.caption("Safe to repeat: what is sealed or closed already stays as it is.")


def _ask(definition: JobDefinition, at: datetime, dry_run: bool = False) -> int:
    return ask(definition.name, definition.period(at, {}), at, dry_run=dry_run)
