"""Recount each sealed day once, to find rows that the platform wrote or removed after the seal."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from collectors.failure import Failure
from collectors.platform.tables import SOURCE, TABLES, stage_range
from metering.catalogue import projects
from metering.catalogue.periods import Day
from metering.days import partial_days
from metering.db.engine import is_away
from metering.db.isolation import isolate
from metering.db.transactions import chunks, session_lock
from metering.errors import SourceUnavailable
from metering.ledger import late_rows
from metering.ledger.failures import database_failure
from metering.ledger.late_rows import RecountRange
from metering.months import late_rows as late_adjustments

EVER = datetime(1, 1, 2, tzinfo=UTC)  # before any seal


@dataclass
class Recount:
    """The recount at `at`: how many days and adjustments, and the projects that could not be recounted."""

    connection: Connection
    at: datetime
    days: int = 0
    adjustments: int = 0
    failures: dict[int, Failure] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Return the numbers of days and adjustments, for a run's result."""
        return {"days": self.days, "adjustments": self.adjustments}

    def run(self) -> None:
        """Recount the days that are due, and those of open gaps."""
        with self.connection.begin():
            sealed = late_rows.waiting(self.connection, SOURCE, self.at)
            due = late_rows.due(self.connection, sealed)
            ids = projects.ids(self.connection)
            gaps = partial_days.waiting(self.connection, SOURCE, sealed.until)
        for day in due:
            self._recount(day, ids, sealed)
        for day in gaps.keys() - set(due):
            self._recount(day, gaps[day], RecountRange(EVER, sealed.until))
        if due:
            with self.connection.begin():
                late_rows.finish(self.connection, SOURCE, due, sealed, self.at)
        self.days = len(due) + len(gaps.keys() - set(due))

    def _recount(self, day: Day, ids: list[int], sealed: RecountRange) -> None:
        with self.connection.begin():
            failures = stage_range(self.connection, day.start, day.end)
            begins = self._begins(day)
        failures = {project: failure for project, failure in failures.items() if project in set(ids)}

        def post(project_ids: list[int]) -> None:
            with self.connection.begin():
                late = late_rows.find(self.connection, SOURCE, day, project_ids, sealed, begins)
                adjustment_count = len(late_adjustments.post(self.connection, day, late, self.at))
                partial_days.cover(self.connection, SOURCE, day, project_ids, self.at)
            self.adjustments += adjustment_count

        def refused(project: int, error: DBAPIError) -> None:
            cause = database_failure(error)
            failures[project] = Failure(cause.reason, cause.kind)

        for chunk in chunks([project for project in ids if project not in failures]):
            isolate(chunk, post, refused)
        with self.connection.begin():
            partial_days.keep_open(self.connection, SOURCE, day, failures)
        self.failures |= {
            project: Failure(f"late rows of {day} were not counted: {failure}", failure.kind)
            for project, failure in failures.items()
        }

    def _begins(self, day: Day) -> dict[str, late_rows.TableStart]:
        """Return where each counter's table begins, as seen from `day`."""
        begins: dict[str, late_rows.TableStart] = {}
        for table, counts in TABLES.items():
            oldest = text(f"SELECT date_trunc('hour', min(created_at), 'UTC') FROM {table}")
            hour = self.connection.scalar(oldest)
            begins |= {counter: late_rows.begins(self.connection, counter, day, hour) for counter in counts}
        return begins


def recount_late(engine: Engine, at: datetime) -> Recount:
    """Recount each day once, 24 h after its seal, and days that were sealed with a part of their rows.

    Raises SourceUnavailable when a table cannot be read: the days stay due.
    """
    try:
        with session_lock(engine, SOURCE) as connection:
            recount = Recount(connection, at)
            recount.run()
            return recount
    except DBAPIError as error:
        if is_away(error):
            raise
        raise SourceUnavailable(f"late rows were not counted: {database_failure(error)}") from error
    except SourceUnavailable as error:
        raise SourceUnavailable(f"late rows were not counted: {error}", error.passing) from error
