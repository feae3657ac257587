"""Pauses of jobs: the schedule leaves a job out until an end, at most 72 hours away.

A pause ends by itself: one whose end is over is not read any more. People may still run a paused job; what
the schedule had asked for waits. What was left out is made up for as after an outage: days and months in
order, platform rows from their watermark.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from metering.catalogue.periods import utc
from metering.db import audit_log
from metering.errors import PauseRefused
from metering.runs.definitions import find

LONGEST = timedelta(hours=72)

# SQL over a run `q`: the schedule asked for it, and its job is paused.
IS_PAUSED = """(q.requested_by = 'schedule' AND EXISTS (
    SELECT FROM job_pauses s WHERE s.job = q.job AND s.until > clock_timestamp()))"""

CURRENT = text("SELECT * FROM job_pauses WHERE until > :at ORDER BY job")
SET = text("""
    INSERT INTO job_pauses (job, until, reason, paused_by, paused_at)
    VALUES (:job, :until, :reason, :paused_by, :paused_at)
    ON CONFLICT (job) DO UPDATE SET until = excluded.until, reason = excluded.reason,
        paused_by = excluded.paused_by, paused_at = excluded.paused_at""")


@dataclass(frozen=True)
class Pause:
    """A job that the schedule leaves out until `until`; instants are UTC."""

    job: str
    until: datetime
    reason: str
    paused_by: str
    paused_at: datetime


def pause(connection: Connection, job: str, until: datetime, reason: str, actor: str, at: datetime) -> Pause:
    """Pause `job` from `at` until `until`, or move the end of its pause; the audit log says who and why.

    Raises PeriodError for an unknown job, PauseRefused without a reason or with an end that is over or
    more than 72 hours away.
    """
    find(job)
    until = utc(until)
    if not reason.strip():
        raise PauseRefused(f"pausing {job} needs a reason; say why it should not run")
    if not at < until <= at + LONGEST:
        raise PauseRefused(
            f"{job} can be paused until {at + LONGEST:%Y-%m-%d %H:%M} UTC at the latest, which is 72 hours "
            f"from now, and not until {until:%Y-%m-%d %H:%M} UTC"
        )
    before = of(connection, job, at)
    after = Pause(job, until, reason.strip(), actor, at)
    connection.execute(SET, asdict(after))
    audit_log.record(
        connection,
        actor,
        "pause",
        f"job {job}",
        asdict(before) if before else None,
        asdict(after),
        reason,
        at,
    )
    return after


def resume(connection: Connection, job: str, actor: str, at: datetime) -> None:
    """End the pause of `job`. Raises PeriodError for an unknown job, PauseRefused if it is not paused."""
    find(job)
    before = of(connection, job, at)
    if before is None:
        raise PauseRefused(f"{job} is not paused; fleetmeter jobs lists what is")
    connection.execute(text("DELETE FROM job_pauses WHERE job = :job"), {"job": job})
    audit_log.record(connection, actor, "resume", f"job {job}", asdict(before), at=at)


def current(connection: Connection, at: datetime) -> list[Pause]:
    """Return the pauses that are not over at `at`, by job."""
    return [Pause(**row) for row in connection.execute(CURRENT, {"at": at}).mappings()]


def of(connection: Connection, job: str, at: datetime) -> Pause | None:
    """Return the pause of `job` that is not over at `at`, or None."""
    return next((pause for pause in current(connection, at) if pause.job == job), None)


def jobs(pauses: Iterable[Pause]) -> frozenset[str]:
    """Return the names of the paused jobs."""
    return frozenset(pause.job for pause in pauses)


def sentence(pause: Pause) -> str:
    """Describe the pauses: job, end, reason and actor."""
    return (
        f"{pause.job} is paused until {pause.until:%Y-%m-%d %H:%M} UTC by {pause.paused_by}: {pause.reason}"
    )
