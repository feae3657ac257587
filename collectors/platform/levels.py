"""Levels in the platform's own tables: devices, and the bytes of all log entries.

Log entries are too many to be summed each hour. Once a day all are, which is when it is noticed that
the platform has pruned some; in between only those that are younger are added to that sum.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from collectors.platform.tables import SOURCE
from metering.catalogue import projects
from metering.catalogue.periods import Hour
from metering.db.engine import is_refused
from metering.db.transactions import chunks
from metering.ledger.failures import SourceFailure, database_failure
from metering.ledger.gauges import record_gauges

RECOUNT = timedelta(hours=24)
LATE_COMMITS = timedelta(hours=1)  # rows that are younger may still be committed, and are added each time

Levels = dict[int, dict[str, int]]  # project id -> gauge -> level

DEVICES = text("""
    SELECT project_id, count(*),
        count(*) FILTER (WHERE last_seen_at > CAST(:at AS timestamptz) - interval '24 hours')
    FROM devices WHERE created_at <= :at GROUP BY project_id""")

# In two steps, because PostgreSQL uses its parallel workers for the first alone.
SUM_ALL = """
    CREATE TEMP TABLE summed_logs ON COMMIT DROP AS
    SELECT project_id, sum(size_bytes)::bigint AS bytes FROM logs WHERE created_at < :until
    GROUP BY project_id"""
KEEP_SUMS = """
    INSERT INTO log_levels (project_id, bytes, until)
    SELECT project_id, coalesce(bytes, 0), :until FROM summed_logs
    WHERE project_id IN (SELECT id FROM projects)"""

LOGS = text("""
    SELECT project_id, sum(bytes)::bigint FROM (
        SELECT project_id, bytes FROM log_levels
        UNION ALL
        SELECT project_id, sum(size_bytes)::bigint FROM logs
        WHERE created_at >= :until AND created_at <= :at GROUP BY project_id
    ) parts GROUP BY project_id""")


def sample(
    connection: Connection, at: datetime, project_id: int | None, complete: bool
) -> dict[str, SourceFailure]:
    """Record the levels at `at`; return why a table could not be read. Hold the source's lock.

    Without `complete` the source's counters could not all be counted, and it is not marked as measured.
    """
    failures: dict[str, SourceFailure] = {}
    levels: list[Levels] = []
    for table, read in (("devices", _devices), ("logs", _logs)):
        try:
            with connection.begin():
                levels.append(read(connection, at))
        except DBAPIError as error:
            if not is_refused(error):
                raise
            failures[table] = database_failure(error)
    if levels:
        _record(connection, at, project_id, levels, complete)
    return failures


def _record(
    connection: Connection, at: datetime, project_id: int | None, levels: list[Levels], complete: bool
) -> None:
    with connection.begin():
        known = set.intersection(*(set(table) for table in levels))
        ids = [project for project in projects.ids(connection, project_id) if project in known]
    for chunk in chunks(ids):
        samples = {
            project: dict(pair for table in levels for pair in table[project].items()) for project in chunk
        }
        with connection.begin():
            record_gauges(connection, SOURCE, samples, at, complete=complete)


def _existing(connection: Connection, at: datetime) -> list[int]:
    return list(connection.scalars(text("SELECT id FROM projects WHERE created_at <= :at"), {"at": at}))


def _devices(connection: Connection, at: datetime) -> Levels:
    counts = {row[0]: (row[1], row[2]) for row in connection.execute(DEVICES, {"at": at})}
    levels = {}
    for project in _existing(connection, at):
        devices, active = counts.get(project, (0, 0))
        levels[project] = {"device_count": devices, "active_device_count": active}
    return levels


def _logs(connection: Connection, at: datetime) -> Levels:
    until = connection.scalar(text("SELECT min(until) FROM log_levels"))
    if until is None or not at - RECOUNT < until <= at:
        until = Hour.of(at - LATE_COMMITS).start
        connection.execute(text("DELETE FROM log_levels"))
        connection.execute(text(SUM_ALL), {"until": until})
        connection.execute(text(KEEP_SUMS), {"until": until})
    sums = {row[0]: row[1] for row in connection.execute(LOGS, {"until": until, "at": at})}
    return {project: {"logs_storage_bytes": sums.get(project) or 0} for project in _existing(connection, at)}
