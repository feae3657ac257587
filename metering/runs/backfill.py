"""Seal missing days of the past, from a recount of the platform's tables: the work of job `backfill`.

Days from a project's `open_from` on are sealed in order, earlier open days included: sealing out of
order would let a later refresh change a sealed day's hours.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from metering.catalogue import platform, projects
from metering.catalogue.history import OFF_ON
from metering.catalogue.periods import Day, Month, days
from metering.catalogue.projects import METERED_FROM, METERED_UNTIL
from metering.days import deleted_owners
from metering.days.seal import seal_earlier, seal_through
from metering.db.engine import error_line
from metering.db.isolation import isolate
from metering.db.transactions import chunks, session_lock, transaction
from metering.ledger.partitions import ensure_partition
from metering.ledger.recount import fill_sealed_day
from metering.months import history_bills
from metering.runs import backfill_range, refresh
from metering.runs.context import Context
from metering.runs.sources import RowSource

MISSING = f"""
    SELECT p.id FROM {platform.PROJECTS} p JOIN project_stats s ON s.project_id = p.id
    WHERE (CAST(:project_id AS bigint) IS NULL OR p.id = :project_id)
        AND s.open_from >= :end AND {{since}} < :end AND {{until}} > :start AND NOT {{off}}
        AND NOT EXISTS (SELECT FROM daily_stats d WHERE d.project_id = p.id AND d.date = :date)
    ORDER BY p.id"""
SEALED = text("""
    SELECT date::text AS day, count(*) FILTER (WHERE created_at < :started_at) AS before,
        count(*) FILTER (WHERE created_at >= :started_at) AS own FROM daily_stats
    WHERE project_id = ANY(:ids) AND date BETWEEN :first AND :last GROUP BY date ORDER BY date""")


def run(context: Context, rows: RowSource) -> dict[str, Any]:
    """Seal the missing days of `from`..`to`; days sealed already are listed with their projects' count."""
    first, last = backfill_range.parse(context.arguments)
    with transaction(context.engine) as connection:
        backfill_range.check_days(
            connection, first, last, context.at, context.project_id, bool(context.arguments.get("bill"))
        )
        before, own = _sealed(connection, first, last, context)
    refresh.count_rows(context, rows)
    sealed = own + fill(context, rows, first, last)
    for ids in context.chunks("sealing open days"):
        sealed += context.run_chunk(
            ids, lambda connection, some: _seal_open(connection, last, some, context.at)
        )
    result: dict[str, Any] = {
        "from": str(first),
        "to": str(last),
        "days_sealed": sealed,
        "already_sealed": before,
    }
    if context.arguments.get("bill"):
        result["months_to_bill"] = _ask_for_bills(context, first, last)
    return result


def _ask_for_bills(context: Context, first: Day, last: Day) -> int:
    def ask(connection: Connection, ids: list[int]) -> int:
        return history_bills.request(connection, ids, first, last, context.requested_by, context.at)

    return sum(context.run_chunk(ids, ask) for ids in context.chunks("asking for bills"))


def fill(context: Context, rows: RowSource, first: Day, last: Day, since: str = METERED_FROM) -> int:
    """Recount and seal missing days before each project's `open_from`; return their number.

    `since`: SQL of the instant from which a project of `projects p` is expected to have days.
    """
    sealed = 0
    with session_lock(context.engine, rows.name) as connection:
        for day in days(max(first, _earliest(connection) or first), last):
            for ids in chunks(_stage(connection, context, rows, day, since)):
                sealed += _fill_chunk(connection, context, rows, day, ids)
            context.advance(f"recounting {day}", 0, 0)
    return sealed


def _stage(connection: Connection, context: Context, rows: RowSource, day: Day, since: str) -> list[int]:
    """Stage the rows of `day`; return the projects that miss it and can be sealed, and name the others."""
    with connection.begin():
        missing = _missing_before_open(connection, day, context, since)
        if not missing:
            return []
        failures = rows.stage_range(connection, day.start, day.end)
        without_owner = deleted_owners.of_day(connection, day, missing)
    for project in missing:
        if project in without_owner:
            context.fail(project, without_owner[project])
        elif project in failures:
            context.fail(project, f"{rows.name}: {day}: {failures[project]}", source=rows.name)
    return [project for project in missing if project not in failures and project not in without_owner]


def _earliest(connection: Connection) -> Day | None:
    """Return the first day of any project: a range may begin in another age."""
    with connection.begin():
        first = connection.scalar(text(f"SELECT min({METERED_FROM}) FROM {platform.PROJECTS} p"))
    return None if first is None else Day.of(first)


def _fill_chunk(connection: Connection, context: Context, rows: RowSource, day: Day, ids: list[int]) -> int:
    sealed = 0

    def fill_day(some: list[int]) -> None:
        nonlocal sealed
        with connection.begin():
            count = _fill_day(connection, rows, day, some, context.at)
        sealed += count

    def refused(project: int, error: DBAPIError) -> None:
        context.fail(project, f"{rows.name}: {day}: {error_line(error)}", source=rows.name)

    isolate(ids, fill_day, refused)
    return sealed


def _fill_day(connection: Connection, rows: RowSource, day: Day, ids: list[int], at: datetime) -> int:
    ensure_partition(connection, Month.of(day.start))
    projects.ensure(connection, ids, at, day.start)
    projects.lock(connection, ids)
    fill_sealed_day(connection, rows.name, ids, day, at)
    return seal_earlier(connection, day, ids, at)


def _missing_before_open(connection: Connection, day: Day, context: Context, since: str) -> list[int]:
    projects.ensure(connection, projects.ids(connection, context.project_id), context.at, day.start)
    query = text(
        MISSING.format(since=since, until=METERED_UNTIL, off=OFF_ON.format(date="CAST(:date AS date)"))
    )
    bounds = {"start": day.start, "end": day.end, "date": day.date}
    return list(connection.scalars(query, bounds | {"project_id": context.project_id}))


def _seal_open(connection: Connection, last: Day, ids: list[int], at: datetime) -> int:
    query = text("SELECT project_id FROM project_stats WHERE project_id = ANY(:ids) AND open_from < :end")
    behind = list(connection.scalars(query, {"ids": ids, "end": last.end}))
    return seal_through(connection, last, behind, at) if behind else 0


def _sealed(connection: Connection, first: Day, last: Day, context: Context) -> tuple[dict[str, int], int]:
    """Return day -> projects that had it before this run, and how many days its earlier attempts sealed."""
    bounds = {"first": first.date, "last": last.date, "started_at": context.started_at}
    ids = projects.ids(connection, context.project_id)
    rows = connection.execute(SEALED, bounds | {"ids": ids}).all()
    return {row.day: row.before for row in rows if row.before}, sum(row.own for row in rows)
