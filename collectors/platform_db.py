"""The platform's own tables: rows counted by date range into their hours, and levels sampled.

One grouped statement a table, for every project. `created_at` is what places a row; give each table
an index on it.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from collectors.measured import Measured, Progress
from metering import database, late_rows, ledger, projects
from metering.errors import SourceUnavailable
from metering.meters import Source, columns, counters_of
from metering.periods import Day, Hour
from metering.projects import METERED_UNTIL
from metering.settings import Settings

SOURCE: Source = "platform_db"
COUNTERS = counters_of(SOURCE)

# Counters whose rows are counted, one each; the table has the counter's name.
COUNTED = ("logs", "sessions", "api_calls", "deployments")
TRANSFERS = {
    "docker_upload_bytes": "docker_upload",
    "docker_download_bytes": "docker_download",
    "data_transfer_bytes": "data",
}
LATE_COMMITS = timedelta(hours=1)  # rows are written with an earlier created_at than their commit


def refresh(
    settings: Settings,
    engine: Engine,
    at: datetime,
    project_id: int | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Count every hour touched since the last reading, the running one included, and sample levels.

    The first reading starts where a project is open from. Rows created at `at` or later are not
    counted yet. A missing table is named in `problem`, and nothing is taken as zero.
    """
    result = Measured(SOURCE)
    try:
        with database.session_lock(engine, SOURCE) as connection:
            _count(connection, result, at, project_id, progress)
            _sample(connection, at, project_id)
    except DBAPIError as error:
        if database.is_away(error):
            raise
        result.problem = _said(error)
    return result


def stage_range(connection: Connection, start: datetime, end: datetime) -> None:
    """Count rows of `[start, end)` into the session's staged counts; hold the source's lock."""
    ledger.stage(connection, SOURCE, _select(), {"start": start, "end": end})


def recount_late(engine: Engine, at: datetime) -> dict[str, int]:
    """Recount each day once, 24 h after its seal; returns days recounted and adjustments posted.

    Raises SourceUnavailable when a table cannot be read: the days stay due.
    """
    try:
        with database.session_lock(engine, SOURCE) as connection:
            with connection.begin():
                sealed = late_rows.waiting(connection, SOURCE, at)
                days = late_rows.due(connection, sealed)
                ids = projects.ids(connection)
            posted = sum(_post_late(connection, day, ids, sealed, at) for day in days)
            if days:
                with connection.begin():
                    late_rows.finish(connection, SOURCE, days, sealed, at)
    except DBAPIError as error:
        if database.is_away(error):
            raise
        raise SourceUnavailable(f"late rows were not counted: {_said(error)}") from error
    return {"days": len(days), "adjustments": posted}


def _post_late(
    connection: Connection, day: Day, ids: list[int], sealed: late_rows.Sealed, at: datetime
) -> int:
    with connection.begin():
        stage_range(connection, day.start, day.end)
    posted = 0
    for chunk in database.chunks(ids):
        with connection.begin():
            posted += late_rows.post(connection, SOURCE, day, chunk, sealed, at)
    return posted


def _said(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0]


def _select() -> str:
    zero = dict.fromkeys(COUNTERS, "0")
    parts = [_part(counter, zero | {counter: "count(*)"}) for counter in COUNTED]
    sums = {
        counter: f"coalesce(sum(bytes) FILTER (WHERE kind = '{kind}'), 0)"
        for counter, kind in TRANSFERS.items()
    }
    parts.append(_part("data_transfers", zero | sums))
    return f"""
        SELECT project_id, hour, {columns("sum({0})::bigint AS {0}", COUNTERS)}
        FROM ({" UNION ALL ".join(parts)}) counted GROUP BY project_id, hour"""


def _part(table: str, counts: dict[str, str]) -> str:
    values = ", ".join(f"{counts[name]} AS {name}" for name in COUNTERS)
    return f"""
        SELECT project_id, date_trunc('hour', created_at, 'UTC') AS hour, {values}
        FROM {table} WHERE created_at >= :start AND created_at < :end GROUP BY 1, 2"""


def _count(
    connection: Connection,
    result: Measured,
    at: datetime,
    project_id: int | None,
    progress: Progress | None,
) -> None:
    with connection.begin():
        ids = projects.ids(connection, project_id)
        projects.ensure(connection, ids, at)
        start = _since(connection, ids, at)
        if start is None:
            return
        stage_range(connection, start, at)
    end = Hour.of(at).end
    for chunk in database.chunks(ids):
        with connection.begin():
            ledger.apply_staged(connection, SOURCE, chunk, start, end, at)
        result.projects += len(chunk)
        if progress:
            progress(result.projects, len(ids))


def _since(connection: Connection, ids: list[int], at: datetime) -> datetime | None:
    """The first hour to count again, None when no project is open."""
    query = text(f"""
        SELECT min(greatest(s.open_from,
            date_trunc('hour', s.platform_db_measured_at - CAST(:margin AS interval), 'UTC')))
        FROM project_stats s JOIN projects p ON p.id = s.project_id
        WHERE s.project_id = ANY(:ids) AND s.open_from < least(CAST(:at AS timestamptz), {METERED_UNTIL})""")
    start = connection.scalar(query, {"ids": ids, "at": at, "margin": LATE_COMMITS})
    return None if start is None else Hour.of(start).start


LEVELS = """
    SELECT p.id, coalesce(d.devices, 0), coalesce(d.active, 0), coalesce(l.size, 0)
    FROM projects p
    LEFT JOIN (SELECT project_id, count(*) AS devices,
        count(*) FILTER (WHERE last_seen_at > CAST(:at AS timestamptz) - interval '24 hours') AS active
        FROM devices WHERE created_at <= :at GROUP BY project_id) d ON d.project_id = p.id
    LEFT JOIN (SELECT project_id, sum(size_bytes)::bigint AS size FROM logs
        WHERE created_at <= :at GROUP BY project_id) l ON l.project_id = p.id
    WHERE p.created_at <= :at AND p.id = ANY(:ids)"""


def _sample(connection: Connection, at: datetime, project_id: int | None) -> None:
    with connection.begin():
        ids = projects.ids(connection, project_id)
        levels = connection.execute(text(LEVELS), {"at": at, "ids": ids}).all()
    for chunk in database.chunks(range(len(levels))):
        names = ("device_count", "active_device_count", "logs_storage_bytes")
        samples = {levels[i][0]: dict(zip(names, levels[i][1:], strict=True)) for i in chunk}
        with connection.begin():
            ledger.record_gauges(connection, SOURCE, samples, at)
