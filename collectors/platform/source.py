"""The platform's own database as a source: rows are counted, levels are sampled, the catalogue is read."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from collectors.failure import Failure
from collectors.platform import late_rows, levels, tables
from collectors.platform.late_rows import Recount
from collectors.platform.rows import RowCount
from collectors.platform.tables import SOURCE, failure_of_tables
from collectors.result import CollectionResult, Progress
from collectors.sampled_at import sampled_at
from metering.catalogue import history
from metering.catalogue.sources import SourceName
from metering.config.settings import Settings
from metering.db.engine import is_away, is_passing
from metering.db.transactions import session_lock
from metering.ledger.failures import database_failure


@dataclass(frozen=True)
class PlatformDb:
    """The platform's tables (see metering.runs.sources.RowSource)."""

    name: SourceName = SOURCE
    calls_out: bool = False

    def refresh(
        self,
        settings: Settings,
        engine: Engine,
        at: datetime,
        project_id: int | None = None,
        progress: Progress | None = None,
        resume: bool = False,
        read_at: datetime | None = None,
        sealing: bool = False,
    ) -> CollectionResult:
        """Count every hour touched since the last reading, the running one included; sample levels.

        The first reading starts where a project is open from. Rows created at `at` or later are not
        counted yet. Catalogue and levels are as they are now: they are dated `read_at`, the instant
        at which this was called, if it is given. A table or column that is missing is named in
        `problem`; it is not taken as zero, and the other tables are counted.
        """
        result, transient, called_at = CollectionResult(self.name), False, time.monotonic()
        level_at = sampled_at(at, read_at)
        try:
            with session_lock(engine, self.name) as connection:
                waited = timedelta(seconds=time.monotonic() - called_at)
                with connection.begin():
                    history.read(connection, at if read_at is None else read_at + waited)
                count = RowCount(connection, result, at, project_id, progress, resume, sealing)
                failures = count.run()
                complete = not failures and level_at == at  # rows after `at` are not counted yet
                failures |= levels.sample(connection, result, level_at, project_id, complete)
        except DBAPIError as error:
            if is_away(error):
                raise
            failures, transient = {"projects": database_failure(error)}, is_passing(error)
        if failures:
            result.problem = failure_of_tables(failures, transient)
        return result

    def recount_late(self, engine: Engine, at: datetime) -> Recount:
        """Recount each day once, 24 h after its seal; post the differences as adjustments.

        Raises SourceUnavailable when a table cannot be read: the days stay due.
        """
        return late_rows.recount_late(engine, at)

    def stage_range(self, connection: Connection, start: datetime, end: datetime) -> dict[int, Failure]:
        """Count the rows of `[start, end)` into the session's staged counts; hold the source's lock.

        Returns the projects that cannot be counted, with the reason.
        Raises SourceUnavailable unless every table can be counted.
        """
        return tables.stage_range(connection, start, end)


PLATFORM_DB = PlatformDb()
