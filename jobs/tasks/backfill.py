"""Backfill: the normal seal over an explicit past range, from a recount of the platform's tables.

Days from a project's `open_from` on are sealed in order, earlier open days included: sealing out of
order would let a later refresh change a sealed day's hours.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from collectors.platform.source import PLATFORM_DB
from jobs.context import Context
from metering.catalogue import projects
from metering.catalogue.periods import Day, Month, days
from metering.catalogue.projects import METERED_FROM, METERED_UNTIL
from metering.days.seal import refuse_unfinished, seal_earlier, seal_through
from metering.db.transactions import chunks, session_lock, transaction
from metering.errors import MonthClosed, PeriodError
from metering.ledger.partitions import ensure_partition
from metering.ledger.recount import fill_sealed_day


def run(context: Context) -> dict[str, Any]:
    """Seal the missing days of `from`..`to`; days sealed already are named, with how many projects."""
    with transaction(context.engine) as connection:
        refuse(connection, context.at, context.project_id, context.arguments)
        first, last = _range(context.arguments)
        before, own = _sealed(connection, first, last, context)
    PLATFORM_DB.refresh(context.settings, context.engine, context.at, context.project_id, sealing=True)
    sealed = own + fill(context, first, last)
    for some in context.chunks("sealing open days"):
        sealed += context.each(
            some, lambda connection, these: _seal_open(connection, last, these, context.at)
        )
    return {"from": str(first), "to": str(last), "days_sealed": sealed, "already_sealed": before}


def refuse(connection: Connection, at: datetime, project_id: int | None, arguments: dict[str, Any]) -> None:
    """Raises PeriodError without a range of days that are over at `at`, MonthClosed for closed ones."""
    first, last = _range(arguments)
    refuse_unfinished(last, at)
    _refuse_closed(connection, first, last, projects.ids(connection, project_id))


def period(_: datetime, arguments: dict[str, Any]) -> str:
    """`first..last`. Raises PeriodError when the arguments are no range of days."""
    first, last = _range(arguments)
    return f"{first}..{last}"


def _range(arguments: dict[str, Any]) -> tuple[Day, Day]:
    if "from" not in arguments or "to" not in arguments:
        raise PeriodError("a backfill needs its days: fleetmeter backfill --from 2026-11-01 --to 2026-11-03")
    first, last = Day.parse(arguments["from"]), Day.parse(arguments["to"])
    if first > last:
        raise PeriodError(f"the first day {first} is after the last one {last}")
    return first, last


def fill(context: Context, first: Day, last: Day, since: str = METERED_FROM) -> int:
    """Recount and seal missing days before each project's `open_from`, from `since` (SQL) on."""
    sealed = 0
    with session_lock(context.engine, PLATFORM_DB.name) as connection:
        for day in days(max(first, _earliest(connection) or first), last):
            with connection.begin():
                wanted = _missing_before_open(connection, day, context, since)
                if wanted:
                    PLATFORM_DB.stage_range(connection, day.start, day.end)
            for ids in chunks(wanted):
                with connection.begin():
                    sealed += _fill_day(connection, day, ids, context.at)
            context.advance(f"recounting {day}", 0, 0)
    return sealed


def _earliest(connection: Connection) -> Day | None:
    """The first day of any project: a range may begin in another age."""
    with connection.begin():
        first = connection.scalar(text(f"SELECT min({METERED_FROM}) FROM projects p"))
    return None if first is None else Day.of(first)


def _fill_day(connection: Connection, day: Day, ids: list[int], at: datetime) -> int:
    ensure_partition(connection, Month.of(day.start))
    projects.ensure(connection, ids, at, day.start)
    projects.lock(connection, ids)
    fill_sealed_day(connection, PLATFORM_DB.name, ids, day, at)
    return seal_earlier(connection, day, ids, at)


def _missing_before_open(connection: Connection, day: Day, context: Context, since: str) -> list[int]:
    projects.ensure(connection, projects.ids(connection, context.project_id), context.at, day.start)
    query = text(f"""
        SELECT p.id FROM projects p JOIN project_stats s ON s.project_id = p.id
        WHERE (CAST(:project_id AS bigint) IS NULL OR p.id = :project_id)
            AND s.open_from >= :end AND {since} < :end AND {METERED_UNTIL} > :start
            AND NOT EXISTS (SELECT FROM daily_stats d WHERE d.project_id = p.id AND d.date = :date)
        ORDER BY p.id""")
    bounds = {"start": day.start, "end": day.end, "date": day.date}
    return list(connection.scalars(query, bounds | {"project_id": context.project_id}))


def _seal_open(connection: Connection, last: Day, ids: list[int], at: datetime) -> int:
    query = text("SELECT project_id FROM project_stats WHERE project_id = ANY(:ids) AND open_from < :end")
    behind = list(connection.scalars(query, {"ids": ids, "end": last.end}))
    return seal_through(connection, last, behind, at) if behind else 0


def _sealed(connection: Connection, first: Day, last: Day, context: Context) -> tuple[dict[str, int], int]:
    """Day -> how many projects had it before this run; and what an attempt of it, broken off, sealed."""
    query = text("""
        SELECT date::text AS day, count(*) FILTER (WHERE created_at < :started_at) AS before,
            count(*) FILTER (WHERE created_at >= :started_at) AS own FROM daily_stats
        WHERE project_id = ANY(:ids) AND date BETWEEN :first AND :last GROUP BY date ORDER BY date""")
    given = {"first": first.date, "last": last.date, "started_at": context.started_at}
    ids = projects.ids(connection, context.project_id)
    rows = connection.execute(query, given | {"ids": ids}).all()
    return {row.day: row.before for row in rows if row.before}, sum(row.own for row in rows)


def _refuse_closed(connection: Connection, first: Day, last: Day, ids: list[int]) -> None:
    """Raises MonthClosed when a project of the range is closed at or after its first month."""
    row = connection.execute(
        text("""
            SELECT m.project_id, m.year, m.month FROM monthly_stats m
            WHERE m.project_id = ANY(:ids) AND make_date(m.year, m.month, 1) >= :month
            ORDER BY m.year, m.month, m.project_id LIMIT 1"""),
        {"ids": ids, "month": Month.of(first.start).first.date},
    ).one_or_none()
    if row is not None:
        raise MonthClosed(
            f"{row.year}-{row.month:02d} is closed for project {row.project_id}, so {first}..{last} cannot "
            "be backfilled; post a correction with: fleetmeter adjust"
        )
