"""Pauses of jobs: shown wherever the job is, set and ended with a button."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import streamlit as st

from console.actions import pause, resume
from console.data.cache import cached
from console.data.session import has_role, now
from console.data.transactions import read_transaction_as
from console.ui import confirm_dialog, escape, notices
from jobs import queue
from metering.db.scope import Scope
from metering.errors import FleetmeterError
from metering.runs.pauses import Pause

HOURS = (1, 4, 12, 24, 48, 72)


@cached
def read(scope: Scope) -> list[Pause]:
    """Return the current pauses; none for an organization's viewer."""
    with read_transaction_as(scope) as page:
        return queue.paused(page.connection, page.at)


def notice(pauses: Sequence[Pause]) -> None:
    """Name the paused jobs, with end, reason and person."""
    for paused in pauses:
        st.warning(sentence(paused), icon=":material/pause_circle:")


def sentence(paused: Pause) -> str:
    """Say that a job is paused; Markdown, with the reason escaped."""
    title = queue.find(paused.job).title
    return (
        f"**{title}** is paused until {paused.until:%a %d %b %H:%M} UTC by "
        f"{escape.markdown(paused.paused_by)}: {escape.markdown(paused.reason, 400)}"
    )


def offer(job: str, paused: Pause | None, at: datetime) -> None:
    """Offer to pause a job, or to end its pause."""
    if not has_role("operator"):
        return
    if paused is not None:
        if st.button("Resume", key=f"resume-{job}", icon=":material/play_circle:"):
            resume(job, at)
            st.rerun()
        return
    confirm_dialog.button("Pause", f"pause-{job}", ":material/pause:")
    title = queue.find(job).title
    confirm_dialog.ask(f"pause-{job}", f"Pause {title}?", lambda: _form(job), "Pause it", lambda: _pause(job))


def _form(job: str) -> None:
    st.markdown("The schedule leaves it out until the end of the pause, and then makes up for it.")
    st.selectbox("For how many hours", HOURS, index=1, key=f"pause-hours-{job}")
    st.text_input("Why", key=f"pause-reason-{job}", max_chars=500)


def _pause(job: str) -> None:
    at, hours = now(), int(st.session_state.get(f"pause-hours-{job}") or HOURS[0])
    reason = str(st.session_state.get(f"pause-reason-{job}") or "")
    try:
        pause(job, at + timedelta(hours=hours), reason, at)
    except FleetmeterError as error:
        notices.error(str(error))
