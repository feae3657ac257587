"""Count the platform's rows into their hours: one grouped statement a table, for every project."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from collectors.platform.tables import SELECTS, SOURCE, TABLES, UNUSABLE, failure_of_tables
from collectors.result import CollectionResult, Progress
from metering.catalogue import platform, projects
from metering.catalogue.periods import Hour
from metering.catalogue.projects import METERED_UNTIL
from metering.db.isolation import isolate
from metering.db.transactions import chunks
from metering.ledger.failures import SourceFailure, database_failure, record_failures
from metering.ledger.recount import apply_staged
from metering.ledger.staging import TOO_LARGE, StageFailures, keep_staged, stage

REMAINING_PROJECTS = text("""
    SELECT project_id FROM project_stats WHERE project_id = ANY(:ids)
        AND (platform_db_measured_at IS NULL OR platform_db_measured_at < :at) ORDER BY project_id""")
FIRST_HOUR = text(f"""
    SELECT min(greatest(s.open_from,
        date_trunc('hour', s.platform_db_measured_at - CAST(:margin AS interval), 'UTC')))
    FROM project_stats s JOIN {platform.PROJECTS} p ON p.id = s.project_id
    WHERE s.project_id = ANY(:ids) AND s.open_from < least(CAST(:at AS timestamptz), {METERED_UNTIL})""")
OUT_OF_RANGE = "22003"  # a value does not fit in its type
EVER = timedelta(days=36_500)
LATE_COMMITS = timedelta(hours=1)  # rows are committed later than their created_at


@dataclass
class RowCount:
    """One count of the rows up to `at`, into `result`; the connection holds the source's lock.

    `resume`: projects that were counted at `at` are left out. `sealing`: days are about to be sealed,
    so every open hour is counted again, for rows that were written late.
    """

    connection: Connection
    result: CollectionResult
    at: datetime
    project_id: int | None
    progress: Progress | None
    resume: bool
    sealing: bool
    failures: StageFailures = field(default_factory=lambda: StageFailures({}, {}))

    def run(self) -> dict[str, SourceFailure]:
        """Count and write; return why a table could not be counted.

        The result holds the failures of single projects.
        """
        with self.connection.begin():
            ids = self._projects()
            recent = self._first_hour(ids, LATE_COMMITS)
            start = self._first_hour(ids, EVER) if self.sealing else recent
            if start is None or recent is None:
                return {}
            self.failures = stage(self.connection, SOURCE, SELECTS, {"start": start, "end": self.at})
            if start < recent:
                keep_staged(self.connection, SOURCE, start, recent)
        for chunk in chunks(ids):
            self._apply(chunk, start)
            if self.progress:
                finished = self.result.before + self.result.projects + len(self.result.failures)
                self.progress(finished, self.result.before + len(ids))
        return self.failures.tables

    def _projects(self) -> list[int]:
        ids = projects.ids(self.connection, self.project_id)
        projects.ensure(self.connection, ids, self.at)
        if not self.resume:
            return ids
        remaining = list(self.connection.scalars(REMAINING_PROJECTS, {"ids": ids, "at": self.at}))
        self.result.before = len(ids) - len(remaining)
        return remaining

    def _first_hour(self, ids: list[int], margin: timedelta) -> datetime | None:
        """Return the first hour to count again, None when no project is open."""
        start = self.connection.scalar(FIRST_HOUR, {"ids": ids, "at": self.at, "margin": margin})
        return None if start is None else Hour.of(start).start

    def _apply(self, ids: list[int], start: datetime) -> None:
        tables, single = self.failures.tables, self.failures.projects
        for failed in (project for project in ids if project in single):
            self._write([failed], start, tables | single[failed])
        self._write([project for project in ids if project not in single], start, tables)

    def _write(self, ids: list[int], start: datetime, failures: dict[str, SourceFailure]) -> None:
        """Write the counts of `ids`, without the tables in `failures`."""
        end = Hour.of(self.at).end
        uncounted = {counter for table in failures for counter in TABLES[table]}

        def write(project_ids: list[int]) -> None:
            with self.connection.begin():
                apply_staged(self.connection, SOURCE, project_ids, start, end, self.at, uncounted)
                if failures:
                    failure = failure_of_tables(failures)
                    record_failures(self.connection, SOURCE, dict.fromkeys(project_ids, failure), self.at)
            self._note(project_ids, failures)

        def refused(project: int, error: DBAPIError) -> None:
            # Only a sum can be refused: the other tables are counted without it.
            failures_by_table = {table: _refusal(error) for table in UNUSABLE if table not in failures}
            if failures_by_table:
                self._write([project], start, failures | failures_by_table)
            else:
                self._fail([project], failures | {"usage_hourly": _refusal(error)})

        isolate(ids, write, refused)

    def _note(self, ids: list[int], failures: dict[str, SourceFailure]) -> None:
        if failures.keys() <= self.failures.tables.keys():
            self.result.projects += len(ids)
        else:
            self.result.failures |= dict.fromkeys(ids, failure_of_tables(failures))

    def _fail(self, ids: list[int], failures: dict[str, SourceFailure]) -> None:
        failure = failure_of_tables(failures)
        with self.connection.begin():
            record_failures(self.connection, SOURCE, dict.fromkeys(ids, failure), self.at)
        self.result.failures |= dict.fromkeys(ids, failure)


def _refusal(error: DBAPIError) -> SourceFailure:
    too_large = getattr(error.orig, "pgcode", None) == OUT_OF_RANGE
    failure = SourceFailure(TOO_LARGE) if too_large else database_failure(error)
    return replace(failure, of_project=True)
