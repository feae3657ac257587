"""Request due runs by the database: every hour once, every open day in order, every open month."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection

from metering.alerts import backlog
from metering.runs import pauses, requests
from metering.runs.definitions import find
from metering.runs.requests import Request

# A counter daemon commits every few seconds: a month that closed at once would find it blind.
GRACE = timedelta(minutes=1)
RETRY_MONTH = timedelta(hours=1)  # a month that a gap keeps open is tried again this often

EVERY_HOUR = ("hourly", "reconcile")
AFTER_THE_SEAL = ("anomalies", "archive", "retention")  # once a day, while no seal or close is active


def enqueue_due(connection: Connection, at: datetime) -> None:
    """Request every run that is due at `at` and not requested yet, except of paused jobs."""
    paused = pauses.jobs(pauses.current(connection, at))
    for request in _due(connection, at):
        if request.job not in paused:
            requests.enqueue(connection, request)


def _due(connection: Connection, at: datetime) -> Iterator[Request]:
    """Yield due requests in order; each is queued before the next is looked for."""
    for job in EVERY_HOUR:
        yield _request(job, at)
    for day in backlog.open_days(connection, at):
        yield _request("daily", day.end)
    months = backlog.open_months(connection, at - GRACE)
    for month in months:
        yield _request("monthly", at, of=month.end)
    if months and not requests.is_recent(connection, "monthly", at - RETRY_MONTH):
        yield _request("monthly", at, of=months[-1].end, trigger="retry")
    if not requests.is_active(connection, ("daily", "monthly")):
        for job in AFTER_THE_SEAL:
            yield _request(job, at)


def _request(job: str, at: datetime, of: datetime | None = None, trigger: str = "schedule") -> Request:
    """Return a request for `job` at `at`, about the period that it works on at `of` (default `at`)."""
    return Request(job, find(job).period(of or at, {}), at, trigger, "schedule")
