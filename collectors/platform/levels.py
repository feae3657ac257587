"""Levels in the platform's own tables: devices, and the bytes of all log entries.

Log entries are too many to be summed each hour. Once a day all are, which is when it is noticed that
the platform has pruned some; in between only those that are younger are added to that sum.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from metering.catalogue import projects
from metering.catalogue.meters import Source
from metering.catalogue.periods import Hour
from metering.db.engine import error_line, is_refused
from metering.db.transactions import chunks
from metering.ledger.gauges import record_gauges

SOURCE: Source = "platform_db"
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


def sample(connection: Connection, at: datetime, project_id: int | None, whole: bool) -> dict[str, str]:
    """Record the levels at `at`; returns why a table could not be read. Hold the source's lock.

    `whole` False: the source's counters could not all be counted, and it is not said to be measured.
    """
    failed: dict[str, str] = {}
    read: list[Levels] = []
    for table, levels in (("devices", _devices), ("logs", _logs)):
        try:
            with connection.begin():
                read.append(levels(connection, at))
        except DBAPIError as error:
            if not is_refused(error):
                raise
            failed[table] = error_line(error)
    if read:
        _record(connection, at, project_id, read, whole)
    return failed


def _record(
    connection: Connection, at: datetime, project_id: int | None, read: list[Levels], whole: bool
) -> None:
    with connection.begin():
        known = set.intersection(*(set(levels) for levels in read))
        ids = [each for each in projects.ids(connection, project_id) if each in known]
    for chunk in chunks(ids):
        samples = {each: dict(pair for levels in read for pair in levels[each].items()) for each in chunk}
        with connection.begin():
            record_gauges(connection, SOURCE, samples, at, whole=whole)


def _existing(connection: Connection, at: datetime) -> list[int]:
    return list(connection.scalars(text("SELECT id FROM projects WHERE created_at <= :at"), {"at": at}))


def _devices(connection: Connection, at: datetime) -> Levels:
    found = {row[0]: (row[1], row[2]) for row in connection.execute(DEVICES, {"at": at})}
    counts = {project: found.get(project, (0, 0)) for project in _existing(connection, at)}
    return {
        project: {"device_count": all_, "active_device_count": active}
        for project, (all_, active) in counts.items()
    }


def _logs(connection: Connection, at: datetime) -> Levels:
    until = connection.scalar(text("SELECT min(until) FROM log_levels"))
    if until is None or not at - RECOUNT < until <= at:
        until = Hour.of(at - LATE_COMMITS).start
        connection.execute(text("DELETE FROM log_levels"))
        connection.execute(text(SUM_ALL), {"until": until})
        connection.execute(text(KEEP_SUMS), {"until": until})
    sums = {row[0]: row[1] for row in connection.execute(LOGS, {"until": until, "at": at})}
    return {project: {"logs_storage_bytes": sums.get(project) or 0} for project in _existing(connection, at)}
