"""One job in a line: what it is for, how its last runs went and took, when it is next, asking for it."""

from collections.abc import Sequence
from datetime import datetime
from html import escape
from urllib.parse import quote

import streamlit as st

from console.actions import ask, ask_close, needed
from console.data.queries.rows import Row
from console.data.session import has_role
from console.ui import confirm_dialog, format, pauses, progress
from console.ui import escape as names
from jobs import queue
from metering.config.settings import current_settings
from metering.runs.definitions import JobDefinition
from metering.runs.pauses import Pause

# The jobs that the schedule asks for, in the order in which the page lists them.
JOBS = {job.name: job for job in queue.DEFINITIONS if job.due}
WIDTH, HEIGHT, GAP, COLOUR = 120, 36, 2, "#3a8fcb"  # the sparkline, in pixels; seen on light and dark


def line(row: Row, at: datetime, paused: Pause | None = None) -> None:
    """Show the job of a row of `runs.latest`."""
    job = row["job"]
    definition = JOBS[job]
    with st.container(horizontal=True, vertical_alignment="center", key=f"job-{job}"):
        st.markdown(f"**{definition.title}**  \n:gray[{definition.description}]", width=260)
        st.markdown(f"{_state(row)}  \n:gray[{_when(row, at)}]", width=330)
        if row["seconds"]:
            st.html(sparkline(definition.title, row["seconds"]), width=WIDTH)
        with st.container(horizontal=True, horizontal_alignment="right", width="stretch"):
            _offer(definition, at)
            pauses.offer(job, paused, at)


def _state(row: Row) -> str:
    if row["id"] is None:
        return ":gray-badge[:material/schedule: Never ran]"
    icon, colour, label = progress.look(row)
    took = f" took {format.duration(row['seconds'][-1])}" if row["seconds"] else ""
    return f":{colour}-badge[{icon} {label}] {names.markdown(row['period'])}{took}"


def _when(row: Row, at: datetime) -> str:
    due = JOBS[row["job"]].due
    then = f"next {due(at):%Y-%m-%d %H:%M} UTC" if due else ""
    if row["id"] is None:
        return then
    ended = format.age(row["finished_at"] or row["created_at"], at)
    return f"{ended}, asked by {names.markdown(row['requested_by'], 40)}  \n{then}"


def sparkline(title: str, seconds: Sequence[float]) -> str:
    """Return the last durations as bars, newest at the right: an image with alternative text."""
    step, highest = WIDTH / 20, max(*seconds, 0.001)
    bars = "".join(
        _bar(number * step, step - GAP, max(2.0, HEIGHT * took / highest))
        for number, took in enumerate(seconds)
    )
    drawn = f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}' fill='{COLOUR}'>"
    between = f"{format.duration(min(seconds))} to {format.duration(highest)}"
    description = escape(f"{title}: the last {len(seconds)} took {between}")
    image = f"data:image/svg+xml,{quote(drawn + bars)}%3C/svg%3E"
    return f"<img alt='{description}' title='{description}' src='{image}'>"


def _bar(left: float, width: float, tall: float) -> str:
    return f"<rect x='{left:.1f}' y='{HEIGHT - tall:.1f}' width='{width:.1f}' height='{tall:.1f}'/>"


def _offer(definition: JobDefinition, at: datetime) -> None:
    job = definition.name
    if has_role(needed(job)):
        confirm_dialog.button("Run now", f"run-{job}", ":material/play_arrow:")
    if has_role(needed(job, True)) and st.button(
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
    st.toast(f"{', '.join(months)} waits for a second person." if months else "No month is over and open.")


def _explain(definition: JobDefinition, at: datetime) -> None:
    if _waits(definition.name):
        st.markdown("A second person approves the close of every month that is over; then it is closed.")
        return
    period = definition.period(at, {})
    st.markdown(f"{definition.description} This run works on **{period}**, for every project.")
    st.caption("Safe to repeat: what is sealed or closed already stays as it is.")


def _ask(definition: JobDefinition, at: datetime, dry_run: bool = False) -> int:
    return ask(definition.name, definition.period(at, {}), at, dry_run=dry_run)
