"""Ask for what is due, by the database: every hour once, every open day in order, every open month."""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from metering.alerts import backlog
from metering.runs import requests
from metering.runs.definitions import find
from metering.runs.requests import Request

# A counter daemon commits every few seconds: a month that closed at once would find it blind.
GRACE = timedelta(minutes=1)
RETRY_MONTH = timedelta(hours=1)  # a month that a gap keeps open is tried again this often

EVERY_HOUR = ("hourly", "reconcile")
AFTER_THE_SEAL = ("anomalies", "archive", "retention")  # once a day, while no seal or close is active


def enqueue_due(connection: Connection, at: datetime) -> None:
    """Ask for everything that is due at `at` and was not asked for yet."""
    for job in EVERY_HOUR:
        _enqueue(connection, job, at)
    for day in backlog.open_days(connection, at):
        _enqueue(connection, "daily", day.end)
    months = backlog.open_months(connection, at - GRACE)
    for month in months:
        _enqueue(connection, "monthly", at, of=month.end)
    if months and not requests.is_recent(connection, "monthly", at - RETRY_MONTH):
        _enqueue(connection, "monthly", at, of=months[-1].end, trigger="retry")
    if not requests.is_active(connection, ("daily", "monthly")):
        for job in AFTER_THE_SEAL:
            _enqueue(connection, job, at)


def _enqueue(
    connection: Connection, job: str, at: datetime, of: datetime | None = None, trigger: str = "schedule"
) -> None:
    """Ask for `job` at `at`, about the period that it works on at `of` (default `at`)."""
    period = find(job).period(of or at, {})
    requests.enqueue(connection, Request(job, period, at, trigger, "schedule"))
