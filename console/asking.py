"""Asking for a job: a request in the queue, which a runner takes up. A page never runs one."""

import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import streamlit as st
from sqlalchemy import Connection, text

from console.reading import writing
from jobs import queue
from metering import adjustments, alerts, gaps
from metering.adjustments import Adjustment

DOUBLE_CLICK = 3.0  # seconds in which the same request is taken for the same press


def actor() -> str:
    """Who is asking, for the run's record."""
    return "console"


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
    asked = st.session_state.setdefault("asked", {})
    request = (job, period, project_id, dry_run)
    pressed, run = asked.get(request, (0.0, 0))
    if run and time.monotonic() - pressed < DOUBLE_CLICK:
        return int(run)
    with writing() as connection:
        _note(connection, "preview" if dry_run else "request", f"{job} {period}", project_id)
        run = queue.enqueue(
            connection,
            job,
            period,
            at,
            "console",
            actor(),
            project_id=project_id,
            dry_run=dry_run,
            arguments=dict(arguments or {}),
        )
    asked[request] = (time.monotonic(), run)
    return run or 0


def cancel(run: int) -> None:
    """Take a waiting run out of the queue, or ask a working one to stop."""
    with writing() as connection:
        _note(connection, "cancel", f"run {run}")
        queue.cancel(connection, run)


def retry(run: int) -> int:
    """Queue again what failed or was left out; returns the run's id."""
    with writing() as connection:
        _note(connection, "retry", f"run {run}")
        return int(queue.retry(connection, run, actor()) or run)


def discard(runs: Sequence[int]) -> None:
    """Let dead letters rest."""
    with writing() as connection:
        for run in runs:
            _note(connection, "discard", f"run {run}")
            queue.discard(connection, run)


def acknowledge(alert_ids: Sequence[int], note: str) -> None:
    """Say that somebody looks after these alerts."""
    with writing() as connection:
        for alert in alert_ids:
            alerts.acknowledge(connection, alert, actor(), note)


def accept_gap(gap: int, reason: str, at: datetime) -> None:
    """Let months close over a gap. Raises UnknownGap, also without a reason."""
    with writing() as connection:
        gaps.accept(connection, gap, reason, actor(), at)


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
    wanted = Adjustment(project_id, meter, quantity, amount, about, reason, actor())
    with writing() as connection:
        return adjustments.post(connection, wanted, at)


def reverse(project_id: int, adjustment: int, reason: str, at: datetime) -> int:
    """Post the opposite of an adjustment; returns its id. Raises AdjustmentRefused."""
    with writing() as connection:
        return adjustments.reverse(connection, project_id, adjustment, reason, actor(), at)


def _note(connection: Connection, action: str, subject: str, project_id: int | None = None) -> None:
    given = {"actor": actor(), "action": action, "subject": subject, "project_id": project_id}
    connection.execute(
        text("""
            INSERT INTO audit_log (actor, action, subject, after) VALUES (:actor, :action, :subject,
                jsonb_strip_nulls(jsonb_build_object('project_id', CAST(:project_id AS bigint))))"""),
        given,
    )
