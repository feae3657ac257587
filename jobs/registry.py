"""Each job: its name, the period it works on, and the function that does it."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from collectors.platform.source import PLATFORM_DB
from collectors.result import CollectionResult
from collectors.source import Source
from collectors.sources import SOURCES
from jobs.context import Context
from jobs.tasks import archive, backfill, reconcile
from metering.alerts import anomalies, reconciliation
from metering.archive import retention
from metering.catalogue import projects
from metering.catalogue.periods import Day, Hour, Month
from metering.days.coverage import EXPECTED_FROM
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.errors import PeriodError, SourceUnavailable
from metering.ledger.partitions import ensure_partitions
from metering.months import gaps
from metering.months.close import close_month, due_months
from metering.pricing import plans

NAMED = 20  # gaps whose charge at risk a blocked close names


@dataclass(frozen=True)
class Job:
    """`period` names what a run at an instant works on; `work` does it and returns what it did."""

    name: str
    period: Callable[[datetime, dict[str, Any]], str]
    work: Callable[[Context], dict[str, Any]]
    schedule: str
    # Refuses what makes no sense before it is queued: a slip of the hand is no failed run.
    refuse: Callable[[Connection, datetime, int | None, dict[str, Any]], None] = lambda *_: None


def hourly(context: Context) -> dict[str, Any]:
    """Read every source, or those of `sources`; one that fails stops no other."""
    read: dict[str, Any] = {}
    for source in _wanted(context):
        engine = context.apart() if source.calls_out else nullcontext(context.engine)
        with engine as where:
            shown = context.progress_of(source.name)
            measured = source.refresh(
                context.settings, where, context.at, context.project_id, shown, context.again
            )
        read[measured.source] = measured.sentence
        context.throttles += measured.throttles
        _note(context, measured)
    ensure_partitions(context.engine, context.at)
    return {"sources": read}


def _wanted(context: Context) -> list[Source]:
    """Every source; of a retry only those that failed."""
    only = context.arguments.get("sources")
    return [source for source in SOURCES if only is None or source.name in only]


def _note(context: Context, measured: CollectionResult) -> None:
    """What was not read: once for a source that failed as a whole, otherwise for each project."""
    if measured.problem:
        context.fail(None, measured.sentence, measured.problem.retryable, measured.source)
        return
    for project, failure in measured.failures.items():
        context.fail(project, f"{measured.source}: {failure}", failure.retryable, measured.source)


def daily(context: Context) -> dict[str, Any]:
    """Count what is open once more, then seal every day that is over."""
    _count_first(context)
    ensure_partitions(context.engine, context.at)
    last = Day.of(context.at).previous()
    sealed = 0
    for ids in context.chunks("sealing"):
        sealed += context.each(ids, lambda connection, some: seal_through(connection, last, some, context.at))
    return {"through": str(last), "days_sealed": sealed, "late_rows": _recount_late(context)}


def monthly(context: Context) -> dict[str, Any]:
    """Close every month that is over, in order, after its last hours and missing days."""
    _count_first(context)
    offered = plans.load(context.settings.plans)
    with transaction(context.engine) as connection:
        months = due_months(connection, context.at)
    closed, blocked = 0, {}
    at_risk: list[str] = []
    for month in months:
        backfill.fill(context, month.first, month.last, EXPECTED_FROM)
        for ids in context.chunks(f"closing {month}"):

            def close(connection: Any, some: list[int], month: Month = month) -> int:
                result = close_month(connection, month, some, offered, context.at, context.requested_by)
                blocked.update({f"{project} in {month}": why for project, why in result.blocked.items()})
                at_risk.extend(gaps.at_risk_in(connection, month, list(result.blocked), offered))
                return result.closed

            closed += context.each(ids, close)
    done = {"months": [str(month) for month in months], "closed": closed, "blocked": blocked}
    return done | ({"charge_at_risk": at_risk[:NAMED]} if at_risk else {})


def judge(context: Context) -> dict[str, Any]:
    """Judge every sealed day that was not judged yet."""
    with transaction(context.engine) as connection:
        ids = projects.ids(connection, context.project_id)
    return {"anomalies": anomalies.judge(context.engine, ids, context.at, context.advance)}


def shorten(context: Context) -> dict[str, Any]:
    """Drop what the settings keep no longer, of months that are closed and archived; say what stays."""
    settings = context.settings
    policies = (
        (retention.HOURS, retention.cutoffs(settings.keep_hours_days, context.at), "KEEP_HOURS_DAYS"),
        (retention.DAYS, retention.month_cutoffs(settings.keep_days_months, context.at), "KEEP_DAYS_MONTHS"),
    )
    done: dict[str, Any] = {"kept": {}}
    for table, over, setting in policies:
        gone = retention.shorten(
            context.engine, table, over, context.requested_by, context.advance, context.dry_run
        )
        done[table.name] = {month: str(removed) for month, removed in gone.items()}
        context.removed[table.name] = sum(removed.rows for removed in gone.values())
        with transaction(context.engine) as connection:
            why = retention.kept(connection, over, context.at)
        done["kept"][table.name] = why if over else f"all of it: FLEETMETER_{setting} is not set"
    before = context.at - timedelta(days=settings.keep_runs_days)
    context.removed |= retention.forget_runs(context.engine, before, context.dry_run)
    return done | {"removed": context.removed}


def _count_first(context: Context) -> None:
    measured = PLATFORM_DB.refresh(
        context.settings, context.engine, context.at, context.project_id, sealing=True
    )
    if measured.problem:
        context.fail(None, measured.sentence, measured.problem.retryable)


def _recount_late(context: Context) -> dict[str, int] | None:
    # Days are recounted for every project or not at all: what one run left out would stay out.
    if context.project_id is not None:
        return None
    try:
        return PLATFORM_DB.recount_late(context.engine, context.at)
    except SourceUnavailable as error:
        context.fail(None, str(error), error.passing)
        return None


JOBS = {
    job.name: job
    for job in (
        Job("hourly", lambda at, _: str(Hour.of(at)), hourly, "every hour"),
        Job("daily", lambda at, _: str(Day.of(at).previous()), daily, "daily at 00:00 UTC"),
        Job("monthly", lambda at, _: str(Month.of(at).previous()), monthly, "on the 1st at 00:00 UTC"),
        Job("anomalies", lambda at, _: str(Day.of(at).previous()), judge, "daily, after the seal"),
        Job("archive", lambda at, _: str(Day.of(at).previous()), archive.run, "daily, what is closed"),
        Job("retention", lambda at, _: str(Day.of(at).previous()), shorten, "daily, after the archive"),
        Job("reconcile", lambda at, _: str(reconciliation.settled(at)), reconcile.run, "every hour"),
        Job("backfill", backfill.period, backfill.run, "on request", backfill.refuse),
    )
}


def find(name: str) -> Job:
    """The job of that name. Raises PeriodError's kin for one that is none."""
    if name not in JOBS:
        raise PeriodError(f"there is no job {name!r}; the jobs are {', '.join(JOBS)}")
    return JOBS[name]
