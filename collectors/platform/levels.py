"""Levels in the platform's own tables: devices, and the bytes of all log entries.

Log entries are too many to be summed each hour. Once a day all are, which is when it is noticed that
the platform has pruned some; in between only those that are younger are added to that sum.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from collectors.failure import Failure
from collectors.platform.tables import SOURCE
from collectors.result import CollectionResult
from metering.catalogue import platform, projects
from metering.catalogue.periods import Hour
from metering.db.engine import is_away, is_passing
from metering.db.isolation import isolate
from metering.db.transactions import chunks
from metering.ledger.failures import SourceFailure, combine, database_failure, record_failures
from metering.ledger.gauges import record_gauges
from metering.ledger.staging import LARGEST

RECOUNT = timedelta(hours=24)
LATE_COMMITS = timedelta(hours=1)  # rows that are younger may still be committed, and are added each time

Levels = dict[int, dict[str, int | None]]  # project id -> gauge -> level, None if it is unknown

DEVICES = text("""
    SELECT project_id, count(*),
        count(*) FILTER (WHERE last_seen_at > CAST(:at AS timestamptz) - interval '24 hours')
    FROM devices WHERE created_at <= :at GROUP BY project_id""")

_UNUSABLE = "size_bytes IS NULL OR size_bytes < 0"  # a row whose size is not known

# In two steps, because PostgreSQL uses its parallel workers for the first alone.
SUM_ALL = f"""
    CREATE TEMP TABLE summed_logs ON COMMIT DROP AS
    SELECT project_id, sum(size_bytes) AS bytes, count(*) FILTER (WHERE {_UNUSABLE}) AS unusable
    FROM logs WHERE created_at < :until GROUP BY project_id"""
KEEP_SUMS = f"""
    INSERT INTO log_levels (project_id, bytes, until)
    SELECT project_id, CASE WHEN unusable = 0 AND bytes <= {LARGEST} THEN bytes END, :until FROM summed_logs
    WHERE project_id IN (SELECT id FROM {platform.PROJECTS} projects)"""

# NULL where the sum is not known, or does not fit.
LOGS = text(f"""
    SELECT project_id, CASE WHEN bool_and(is_known) AND sum(bytes) <= {LARGEST} THEN sum(bytes)::bigint END
    FROM (
        SELECT project_id, bytes, bytes IS NOT NULL AS is_known FROM log_levels
        UNION ALL
        SELECT project_id, sum(size_bytes), count(*) FILTER (WHERE {_UNUSABLE}) = 0 FROM logs
        WHERE created_at >= :until AND created_at <= :at GROUP BY project_id
    ) parts GROUP BY project_id""")
UNKNOWN_LOGS = SourceFailure(
    "logs: the sum of size_bytes is not known: rows hold no size or a negative one, or the sum does not fit "
    "in 64 bits; correct them"
)


def sample(
    connection: Connection, result: CollectionResult, at: datetime, project_id: int | None, complete: bool
) -> dict[str, SourceFailure]:
    """Record the levels at `at`; return why a table could not be read. Hold the source's lock.

    Failures of single projects are added to `result`. Without `complete`, and for the projects that
    failed before, counters could not all be counted: these are not marked as measured.
    """
    failures: dict[str, SourceFailure] = {}
    levels: list[Levels] = []
    for table, read in (("devices", _devices), ("logs", _logs)):
        try:
            with connection.begin():
                levels.append(read(connection, at))
        except DBAPIError as error:
            if is_away(error) or is_passing(error):
                raise
            failures[table] = database_failure(error)
    if levels:
        Recording(connection, result, at, complete).run(levels, project_id)
    return failures


@dataclass
class Recording:
    """Levels being recorded, with the failures of single projects in `result`."""

    connection: Connection
    result: CollectionResult
    at: datetime
    complete: bool

    def run(self, levels: list[Levels], project_id: int | None) -> None:
        """Record `levels`, each of one table, of every project that all of them know."""
        with self.connection.begin():
            ids = projects.ids(self.connection, project_id)
        samples = {
            project: dict(pair for table in levels for pair in table[project].items())
            for project in ids
            if all(project in table for table in levels)
        }
        failed = set(self.result.failures)
        for chunk in chunks([project for project in samples if project not in failed]):
            self._record(chunk, samples, self.complete)
        for chunk in chunks([project for project in samples if project in failed]):
            self._record(chunk, samples, complete=False)
        unknown = [project for project in samples if None in samples[project].values()]
        self._fail(dict.fromkeys(unknown, UNKNOWN_LOGS))

    def _record(self, ids: list[int], samples: Levels, complete: bool) -> None:
        def record(project_ids: list[int]) -> None:
            levels_by_project = {project: samples[project] for project in project_ids}
            with self.connection.begin():
                record_gauges(self.connection, SOURCE, levels_by_project, self.at, complete=complete)

        isolate(ids, record, lambda project, error: self._fail({project: database_failure(error)}))

    def _fail(self, failures: dict[int, SourceFailure]) -> None:
        for chunk in chunks(sorted(failures)):
            of_chunk = {project: combine([failures[project], *self._before(project)]) for project in chunk}
            with self.connection.begin():
                record_failures(self.connection, SOURCE, of_chunk, self.at)
            for project, failure in of_chunk.items():
                self.result.failures[project] = Failure(failure.reason, failure.kind, failure.of_project)

    def _before(self, project: int) -> list[SourceFailure]:
        return [self.result.failures[project]] if project in self.result.failures else []


def _existing(connection: Connection, at: datetime) -> list[int]:
    return list(
        connection.scalars(
            text(f"SELECT id FROM {platform.PROJECTS} projects WHERE created_at <= :at"), {"at": at}
        )
    )


def _devices(connection: Connection, at: datetime) -> Levels:
    counts = {row[0]: (row[1], row[2]) for row in connection.execute(DEVICES, {"at": at})}
    levels: Levels = {}
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
    return {project: {"logs_storage_bytes": sums.get(project, 0)} for project in _existing(connection, at)}
