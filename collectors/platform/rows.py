"""The platform's own tables: rows counted by date range into their hours.

One grouped statement a table, for every project. `created_at` is what places a row; give each table
an index on it. Levels are in platform_levels.py.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from collectors.platform import levels
from collectors.result import CollectionResult, Progress, Reason
from metering.catalogue import projects, tiers
from metering.catalogue.meters import Source
from metering.catalogue.periods import Day, Hour
from metering.catalogue.projects import METERED_UNTIL
from metering.config.settings import Settings
from metering.db.engine import error_line, is_away, is_passing
from metering.db.transactions import chunks, session_lock
from metering.errors import SourceUnavailable
from metering.ledger import late_rows
from metering.ledger.gauges import record_failures
from metering.ledger.recount import TableCount, apply_staged, keep_staged, stage

SOURCE: Source = "platform_db"

TRANSFERS = {
    "docker_upload_bytes": "docker_upload",
    "docker_download_bytes": "docker_download",
    "data_transfer_bytes": "data",
}
# Table -> what is counted in it, by counter.
TABLES = {table: {table: "count(*)"} for table in ("logs", "sessions", "api_calls", "deployments")} | {
    "data_transfers": {
        counter: f"coalesce(sum(bytes) FILTER (WHERE kind = '{kind}'), 0)::bigint"
        for counter, kind in TRANSFERS.items()
    }
}
LEFT = text("""
    SELECT project_id FROM project_stats WHERE project_id = ANY(:ids)
        AND (platform_db_measured_at IS NULL OR platform_db_measured_at < :at) ORDER BY project_id""")
# A view or a foreign table has its index somewhere else.
UNINDEXED = text("""
    SELECT t.relname, t.relkind = 'p'
    FROM unnest(CAST(:tables AS text[])) WITH ORDINALITY AS given (name, place)
    JOIN pg_class t ON t.oid = to_regclass(given.name) AND t.relkind IN ('r', 'p')
    WHERE NOT EXISTS (SELECT FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = t.oid AND a.attname = 'created_at' AND i.indisvalid AND i.indpred IS NULL)
    ORDER BY given.place""")
EVER = timedelta(days=36_500)
LATE_COMMITS = timedelta(hours=1)  # rows are written with an earlier created_at than their commit


def refresh(
    settings: Settings,
    engine: Engine,
    at: datetime,
    project_id: int | None = None,
    progress: Progress | None = None,
    again: bool = False,
    sealing: bool = False,
) -> CollectionResult:
    """Count every hour touched since the last reading, the running one included, and sample levels
    and tiers.

    The first reading starts where a project is open from. Rows created at `at` or later are not
    counted yet. A table or column that is missing is named in `problem`; nothing is taken as zero, and
    the other tables are counted. `again`: go on with a count at `at` that was broken off. `sealing`:
    days are about to be sealed, and what was written late into their hours is found.
    """
    result, passing = CollectionResult(SOURCE), False
    try:
        with session_lock(engine, SOURCE) as connection:
            with connection.begin():
                tiers.note(connection, at)
            failed = _count(connection, result, at, project_id, progress, again, sealing)
            failed |= levels.sample(connection, at, project_id, not failed)
    except DBAPIError as error:
        if is_away(error):
            raise
        failed, passing = {"projects": error_line(error)}, is_passing(error)
    result.problem = Reason(_named(failed), passing)
    return result


def stage_range(connection: Connection, start: datetime, end: datetime) -> None:
    """Count rows of `[start, end)` into the session's staged counts; hold the source's lock.

    Raises SourceUnavailable unless every table can be counted.
    """
    failed = stage(connection, SOURCE, SELECTS, {"start": start, "end": end})
    if failed:
        raise SourceUnavailable(_named(failed))


def unindexed(connection: Connection) -> list[str]:
    """What to do for each table of the platform's whose rows can only be found by reading all of it."""
    found = connection.execute(UNINDEXED, {"tables": list(TABLES)})
    return [
        f"CREATE INDEX {'' if parted else 'CONCURRENTLY '}ON {name} (created_at)" for name, parted in found
    ]


def _named(failed: Mapping[str, str]) -> str:
    return "; ".join(f"{table}: {reason}" for table, reason in failed.items())


def recount_late(engine: Engine, at: datetime) -> dict[str, int]:
    """Recount each day once, 24 h after its seal; returns days recounted and adjustments posted.

    Raises SourceUnavailable when a table cannot be read: the days stay due.
    """
    try:
        with session_lock(engine, SOURCE) as connection:
            with connection.begin():
                sealed = late_rows.waiting(connection, SOURCE, at)
                days = late_rows.due(connection, sealed)
                ids = projects.ids(connection)
            posted = sum(_post_late(connection, day, ids, sealed, at) for day in days)
            if days:
                with connection.begin():
                    late_rows.finish(connection, SOURCE, days, sealed, at)
    except SourceUnavailable as error:
        raise SourceUnavailable(f"late rows were not counted: {error}", error.passing) from error
    return {"days": len(days), "adjustments": posted}


def _post_late(
    connection: Connection, day: Day, ids: list[int], sealed: late_rows.Sealed, at: datetime
) -> int:
    with connection.begin():
        stage_range(connection, day.start, day.end)
        begins = _begins(connection, day)
    posted = 0
    for chunk in chunks(ids):
        with connection.begin():
            posted += late_rows.post(connection, SOURCE, day, chunk, sealed, at, begins)
    return posted


def _begins(connection: Connection, day: Day) -> dict[str, late_rows.Begins]:
    """By counter, where its table begins, as seen from `day`."""
    found: dict[str, late_rows.Begins] = {}
    for table, counts in TABLES.items():
        hour = connection.scalar(text(f"SELECT date_trunc('hour', min(created_at), 'UTC') FROM {table}"))
        found |= {name: late_rows.begins(connection, name, day, hour) for name in counts}
    return found


def _select(table: str) -> TableCount:
    counts = TABLES[table]
    values = ", ".join(f"{count} AS {name}" for name, count in counts.items())
    select = f"""
        SELECT project_id, date_trunc('hour', created_at, 'UTC'), {values}
        FROM {table} WHERE created_at >= :start AND created_at < :end GROUP BY 1, 2"""
    return TableCount(tuple(counts), select)


SELECTS = {table: _select(table) for table in TABLES}


def _count(
    connection: Connection,
    result: CollectionResult,
    at: datetime,
    project_id: int | None,
    progress: Progress | None,
    again: bool,
    sealing: bool,
) -> dict[str, str]:
    """Count and write; returns why a table could not be counted."""
    with connection.begin():
        ids = projects.ids(connection, project_id)
        projects.ensure(connection, ids, at)
        if again:
            left = list(connection.scalars(LEFT, {"ids": ids, "at": at}))
            ids, result.before = left, len(ids) - len(left)
        settled = _since(connection, ids, at, LATE_COMMITS)
        start = _since(connection, ids, at, EVER) if sealing else settled
        if start is None or settled is None:
            return {}
        failed = stage(connection, SOURCE, SELECTS, {"start": start, "end": at})
        if start < settled:
            keep_staged(connection, SOURCE, start, settled)
    end, without = Hour.of(at).end, {name for table in failed for name in TABLES[table]}
    for chunk in chunks(ids):
        with connection.begin():
            apply_staged(connection, SOURCE, chunk, start, end, at, without)
            if failed:
                record_failures(connection, SOURCE, dict.fromkeys(chunk, _named(failed)), at)
        result.projects += len(chunk)
        if progress:
            progress(result.before + result.projects, result.before + len(ids))
    return failed


def _since(connection: Connection, ids: list[int], at: datetime, margin: timedelta) -> datetime | None:
    """The first hour to count again, None when no project is open."""
    query = text(f"""
        SELECT min(greatest(s.open_from,
            date_trunc('hour', s.platform_db_measured_at - CAST(:margin AS interval), 'UTC')))
        FROM project_stats s JOIN projects p ON p.id = s.project_id
        WHERE s.project_id = ANY(:ids) AND s.open_from < least(CAST(:at AS timestamptz), {METERED_UNTIL})""")
    start = connection.scalar(query, {"ids": ids, "at": at, "margin": margin})
    return None if start is None else Hour.of(start).start
