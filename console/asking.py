"""What people do: each asks for the role it needs, anew, and says in the audit log who changed what.

A job is asked for, a request in the queue that a runner takes up; a page never runs one.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import streamlit as st
from sqlalchemy import text

from console.reading import Writing, writing
from jobs import queue
from metering import adjustments, alerts, gaps
from metering.adjustments import Adjustment
from metering.sign_in import Role

DOUBLE_CLICK = 3.0  # seconds in which the same request is taken for the same press
_ONE_AT_A_TIME = threading.Lock()
Run = Mapping[str, Any]


def needed(job: str, dry_run: bool = False) -> Role:
    """The role that asking for `job` takes: closing a month is for good, a trial of it is not."""
    return "admin" if job == "monthly" and not dry_run else "operator"


def ask(
    job: str,
    period: str,
    at: datetime,
    project_id: int | None = None,
    arguments: Mapping[str, Any] | None = None,
    dry_run: bool = False,
) -> int:
    """Queue `job` and return its run's id; while the same run waits or works, that one's id.

    A second press of a double click may come after a quick run has ended: it is taken for the first.
    """
    with writing(needed(job, dry_run)) as by:
        asked = st.session_state.setdefault("asked", {})
        request = (job, period, project_id, dry_run)
        pressed, run = asked.get(request, (0.0, 0))
        if run and time.monotonic() - pressed < DOUBLE_CLICK:
            return int(run)
        given = (job, period, at, "console", by.actor, project_id, dry_run, dict(arguments or {}))
        run = queue.enqueue(by.connection, *given) or 0
        _note(by, "preview" if dry_run else "request", f"{job} {period}", None, _run(by, run))
    asked[request] = (time.monotonic(), run)
    return run


def cancel(run: int) -> None:
    """Take a waiting run out of the queue, or ask a working one to stop."""
    with writing("operator") as by:
        before = _run(by, run)
        queue.cancel(by.connection, run)
        _note(by, "cancel", f"run {run}", before, _run(by, run))


def retry(run: int) -> int:
    """Queue again what failed or was left out; returns the run's id."""
    with writing("operator") as by:
        before = _run(by, run)
    with writing(needed(before["job"], before["dry_run"]) if before else "operator") as by:
        again = int(queue.retry(by.connection, run, by.actor) or run)
        _note(by, "retry", f"run {run}", before, _run(by, again))
    return again


def discard(runs: Sequence[int]) -> None:
    """Let dead letters rest."""
    with writing("admin") as by:
        for run in runs:
            before = _run(by, run)
            queue.discard(by.connection, run)
            _note(by, "discard", f"run {run}", before, _run(by, run))


def acknowledge(alert_ids: Sequence[int], note: str) -> None:
    """Say that somebody looks after these alerts."""
    with writing("operator") as by:
        for alert in alert_ids:
            alerts.acknowledge(by.connection, alert, by.actor, note)


def accept_gap(gap: int, reason: str, at: datetime) -> None:
    """Let months close over a gap. Raises UnknownGap, also without a reason."""
    with writing("admin") as by:
        gaps.accept(by.connection, gap, reason, by.actor, at)


def adjust(
    project_id: int,
    meter: str | None,
    quantity: int | None,
    amount: Decimal | None,
    about: date,
    reason: str,
    at: datetime,
) -> int:
    """Post a correction into the running month; returns its id. Raises AdjustmentRefused and its kin."""

    def post() -> int:
        with writing("admin") as by:
            wanted = Adjustment(project_id, meter, quantity, amount, about, reason, by.actor)
            return adjustments.post(by.connection, wanted, at)

    return _once(("adjust", project_id, meter, quantity, amount, about, reason), post)


def reverse(project_id: int, adjustment: int, reason: str, at: datetime) -> int:
    """Post the opposite of an adjustment; returns its id. Raises AdjustmentRefused."""

    def post() -> int:
        with writing("admin") as by:
            return adjustments.reverse(by.connection, project_id, adjustment, reason, by.actor, at)

    return _once(("reverse", project_id, adjustment), post)


def _once(request: tuple[Any, ...], post: Callable[[], int]) -> int:
    """What `post` returns; for the second press of a double click, what it returned for the first.

    No constraint tells two equal corrections from one that was pressed twice. The second press is worked
    on by a thread of its own while the first still may be, hence the lock.
    """
    with _ONE_AT_A_TIME:
        asked = st.session_state.setdefault("asked", {})
        pressed, posted = asked.get(request, (0.0, 0))
        if not posted or time.monotonic() - pressed >= DOUBLE_CLICK:
            posted = post()
            asked[request] = (time.monotonic(), posted)
    return int(posted)


def _run(by: Writing, run: int) -> Run | None:
    query = text("""
        SELECT id AS run, job, period, project_id, dry_run, state, attempt, arguments
        FROM job_runs WHERE id = :id""")
    row = by.connection.execute(query, {"id": run}).mappings().one_or_none()
    return None if row is None else dict(row)


def _note(by: Writing, action: str, subject: str, before: Run | None, after: Run | None) -> None:
    given = {"actor": by.actor, "action": action, "subject": subject}
    given |= {"before": json.dumps(before), "after": json.dumps(after)}
    by.connection.execute(
        text("""
            INSERT INTO audit_log (actor, action, subject, before, after)
            VALUES (:actor, :action, :subject, nullif(CAST(:before AS jsonb), 'null'),
                nullif(CAST(:after AS jsonb), 'null'))"""),
        given,
    )
