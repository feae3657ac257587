"""Define each job once: its name, the period a run works on, when it is due, its rank in the queue.

`jobs.registry` binds each definition to the function that does the work; the schedule and the
console read the definitions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from metering.alerts import reconciliation
from metering.catalogue.periods import Day, Hour, Month
from metering.config.oidc import Role
from metering.errors import PeriodError
from metering.runs import backfill_range
from metering.runs.requests import Request

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class JobDefinition:
    """A job. The lower its `rank`, the sooner it is claimed when several wait.

    `period`: what a run at an instant works on, as text.
    `due`: the next instant after `at` at which the schedule asks for it; None if it never does.
    `reads_platform`: it works with what the platform says now: a late scheduled run is made as of now.
    `check`: raises a FleetmeterError for a request that makes no sense, before it is queued.
    """

    name: str
    title: str
    description: str
    schedule: str
    rank: int
    period: Callable[[datetime, Arguments], str]
    due: Callable[[datetime], datetime] | None = None
    reads_platform: bool = False
    check: Callable[[Connection, Request], None] = lambda *_: None


def _hour(at: datetime, _: Arguments) -> str:
    return str(Hour.of(at))


def _day_before(at: datetime, _: Arguments) -> str:
    return str(Day.of(at).previous())


def _month_before(at: datetime, _: Arguments) -> str:
    return str(Month.of(at).previous())


def _compared_hour(at: datetime, _: Arguments) -> str:
    return str(reconciliation.last_complete_hour(at))


def _end_of_hour(at: datetime) -> datetime:
    return Hour.of(at).end


def _end_of_day(at: datetime) -> datetime:
    return Day.of(at).end


def _end_of_month(at: datetime) -> datetime:
    return Month.of(at).end


def _next_comparison(at: datetime) -> datetime:
    return reconciliation.last_complete_hour(at).end + reconciliation.COMPLETE_AFTER


# In the order in which they are listed.
DEFINITIONS = (
    JobDefinition(
        name="hourly",
        title="Hourly refresh",
        description="Reads every source, updates totals.",
        schedule="every hour",
        rank=1,
        period=_hour,
        due=_end_of_hour,
        reads_platform=True,
    ),
    JobDefinition(
        name="daily",
        title="Daily snapshot",
        description="Seals the day before for every project.",
        schedule="daily at 00:00 UTC",
        rank=3,
        period=_day_before,
        due=_end_of_day,
        reads_platform=True,
    ),
    JobDefinition(
        name="monthly",
        title="Monthly close",
        description="Closes the month before into bills.",
        schedule="on the 1st at 00:00 UTC",
        rank=4,
        period=_month_before,
        due=_end_of_month,
        reads_platform=True,
    ),
    JobDefinition(
        name="anomalies",
        title="Anomalies",
        description="Judges each sealed day.",
        schedule="daily, after the seal",
        rank=5,
        period=_day_before,
        due=_end_of_day,
    ),
    JobDefinition(
        name="reconcile",
        title="Reconcile",
        description="Compares with the broker's own count.",
        schedule="every hour",
        rank=8,
        period=_compared_hour,
        due=_next_comparison,
    ),
    JobDefinition(
        name="archive",
        title="Archive",
        description="Stores closed months outside.",
        schedule="daily, what is closed",
        rank=6,
        period=_day_before,
        due=_end_of_day,
    ),
    JobDefinition(
        name="retention",
        title="Retention",
        description="Deletes data past its retention period.",
        schedule="daily, after the archive",
        rank=7,
        period=_day_before,
        due=_end_of_day,
    ),
    JobDefinition(
        name="backfill",
        title="Backfill",
        description="Recounts and seals missing days of the past.",
        schedule="on request",
        rank=2,
        period=backfill_range.period,
        check=backfill_range.check,
    ),
)
BY_NAME = {definition.name: definition for definition in DEFINITIONS}
READ_PLATFORM = tuple(definition.name for definition in DEFINITIONS if definition.reads_platform)
RANKED = tuple(definition.name for definition in sorted(DEFINITIONS, key=lambda one: one.rank))


def find(name: str) -> JobDefinition:
    """Return the job called `name`. Raises PeriodError if there is none."""
    if name not in BY_NAME:
        raise PeriodError(f"there is no job {name!r}; the jobs are {', '.join(BY_NAME)}")
    return BY_NAME[name]


def role(job: str, dry_run: bool = False) -> Role:
    """Return the role that a request for `job` takes: closing a month is final, a dry run is not."""
    return "admin" if job == "monthly" and not dry_run else "operator"


def request(
    job: str,
    at: datetime,
    trigger: str,
    requested_by: str,
    project_id: int | None = None,
    dry_run: bool = False,
    arguments: Arguments | None = None,
) -> Request:
    """Return a request for `job` about the period that it works on at `at`.

    Raises PeriodError for an unknown job, and for a backfill without a range of days.
    """
    period = find(job).period(at, arguments or {})
    return Request(job, period, at, trigger, requested_by, project_id, dry_run, arguments or {})
