"""The surroundings of a running job: settings, database, instant, progress, failures."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from metering.catalogue import projects
from metering.config.settings import Settings
from metering.db.engine import describe_error, is_away, is_passing
from metering.db.transactions import chunks, transaction
from metering.errors import DatabaseUnavailable
from metering.runs.dry_run import dry_run
from metering.runs.heartbeat import Advance
from metering.runs.lease import LeaseLost


@dataclass
class Context:
    """One run's surroundings. `errors` collects failures that did not stop the rest.

    `removed`: table -> rows that retention deleted. `started_at`: start of the first attempt, by the
    database's clock. `again`: an earlier attempt was interrupted, and what it finished is not repeated.
    `read_at` dates what the run reads, however long past its `at` is; None where both are the same.
    """

    settings: Settings
    engine: Engine
    at: datetime
    requested_by: str
    advance: Advance
    project_id: int | None = None
    dry_run: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    throttles: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    started_at: datetime | None = None
    again: bool = False
    read_at: datetime | None = None

    def fail(
        self,
        project_id: int | None,
        error: str,
        passing: bool = False,
        source: str | None = None,
        kind: str = "failed",
    ) -> None:
        """Record a failure that does not stop the others; a `passing` one is retried.

        `kind`: of a source's failure, as in metering/ledger/failures.py.
        """
        failure = {"project_id": project_id, "error": error, "passing": passing}
        self.errors.append(failure | ({"source": source, "kind": kind} if source else {}))

    def progress_of(self, name: str) -> Callable[[int, int], None]:
        """Return a function that reports progress under `name`."""
        return lambda completed, total: self.advance(name, completed, total)

    def chunks(self, what: str) -> Iterator[list[int]]:
        """Yield the ids of the run's projects, a chunk at a time, and report progress."""
        with transaction(self.engine) as connection:
            ids = projects.ids(connection, self.project_id)
        completed = 0
        for chunk in chunks(ids):
            self.advance(what, completed, len(ids))
            yield chunk
            completed += len(chunk)
        self.advance(what, completed, len(ids))

    def run_chunk(self, ids: list[int], work: Callable[[Connection, list[int]], int]) -> int:
        """Do `work` for a chunk in one transaction; if that fails, project by project.

        Otherwise one project with broken data would stop every other of its chunk. Returns the sum of
        the results.
        """
        try:
            with transaction(self.engine) as connection:
                return work(connection, ids)
        except (DatabaseUnavailable, LeaseLost):
            raise
        except Exception as error:
            database_error = error if isinstance(error, DBAPIError) else None
            if database_error and is_away(database_error):
                raise
            if len(ids) == 1:
                passing = database_error is not None and is_passing(database_error)
                self.fail(ids[0], describe_error(error), passing)
                return 0
        return sum(self.run_chunk([project], work) for project in ids)

    @contextmanager
    def isolated_engine(self) -> Iterator[Engine]:
        """Yield an engine for a source with slow calls; a dry run rolls back each transaction at its end."""
        if not self.dry_run:
            yield self.engine
            return
        with dry_run(self.engine, keep=False) as engine:
            yield engine
