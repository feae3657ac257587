"""What is due, from the database: every hour once, every open day in order, every open month."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from jobs import queue
from metering.alerts import backlog, reconciliation
from metering.catalogue.periods import Day, Hour

# A counter shows up to when it has counted every few seconds; a month that closes before it could do
# so after midnight would find it blind.
GRACE = timedelta(minutes=1)

# A month that stays open, because a gap blocks a project, is tried again every hour.
TRIED = text("""
    SELECT 1 FROM job_runs WHERE job = 'monthly' AND NOT dry_run
        AND (state IN ('queued', 'running') OR at > CAST(:at AS timestamptz) - interval '1 hour')
    LIMIT 1""")


# What looks at the sealed days, once a day and when no seal or close is under way.
AFTER_THE_SEAL = ("anomalies", "archive", "retention")
SEALING = text("""
    SELECT 1 FROM job_runs WHERE state IN ('queued', 'running') AND job IN ('daily', 'monthly') LIMIT 1""")


def enqueue_due(connection: Connection, at: datetime) -> None:
    """Ask for everything that is due at `at` and was not asked for yet."""
    queue.enqueue(connection, "hourly", str(Hour.of(at)), at, "schedule", "schedule")
    for day in backlog.open_days(connection, at):
        queue.enqueue(connection, "daily", str(day), day.end, "schedule", "schedule")
    months = backlog.open_months(connection, at - GRACE)
    for month in months:
        queue.enqueue(connection, "monthly", str(month), at, "schedule", "schedule")
    if months and not connection.scalar(TRIED, {"at": at}):
        queue.enqueue(connection, "monthly", str(months[-1]), at, "retry", "schedule")
    queue.enqueue(connection, "reconcile", str(reconciliation.settled(at)), at, "schedule", "schedule")
    if not connection.scalar(SEALING):
        for job in AFTER_THE_SEAL:
            queue.enqueue(connection, job, str(Day.of(at).previous()), at, "schedule", "schedule")
