"""What a running job works with: where, when, for whom, and how it says how far it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from jobs.dry_run import dry_run
from jobs.queue import LeaseLost
from metering.catalogue import projects
from metering.config.settings import Settings
from metering.db.engine import is_away, is_passing
from metering.db.transactions import chunks, transaction
from metering.errors import DatabaseUnavailable, FleetmeterError

Advance = Callable[[str, int, int], None]


def describe_error(error: Exception) -> str:
    """What went wrong on one line; of what is neither ours nor PostgreSQL's, with its kind."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines() or [""]
    expected = isinstance(error, (FleetmeterError, DBAPIError))
    return lines[0] if expected else f"{type(error).__name__}: {lines[0]}"


@dataclass
class Context:
    """One run's surroundings. `errors` collects what failed without stopping the rest."""

    settings: Settings
    engine: Engine
    at: datetime
    requested_by: str
    advance: Advance
    project_id: int | None = None
    dry_run: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    throttles: int = 0
    removed: dict[str, int] = field(default_factory=dict)  # table -> rows that retention took away
    started_at: datetime | None = None  # of the first attempt, by the database's clock
    again: bool = False  # an attempt before was broken off: what it finished is not done once more

    def fail(
        self, project_id: int | None, error: str, passing: bool = False, source: str | None = None
    ) -> None:
        """Note a failure that does not stop the others; a `passing` one is tried again."""
        found = {"project_id": project_id, "error": error, "passing": passing}
        self.errors.append(found | ({"source": source} if source else {}))

    def progress_of(self, name: str) -> Callable[[int, int], None]:
        """A source's progress, under its name."""
        return lambda done, total: self.advance(name, done, total)

    def chunks(self, what: str) -> Iterator[list[int]]:
        """The projects, a chunk at a time, with progress."""
        with transaction(self.engine) as connection:
            ids = projects.ids(connection, self.project_id)
        done = 0
        for chunk in chunks(ids):
            self.advance(what, done, len(ids))
            yield chunk
            done += len(chunk)
        self.advance(what, done, len(ids))

    def each(self, ids: list[int], work: Callable[[Connection, list[int]], int]) -> int:
        """Do `work` for a chunk in one transaction; if that fails, project by project.

        Otherwise one project with broken data would stop every other of its chunk.
        """
        try:
            with transaction(self.engine) as connection:
                return work(connection, ids)
        except (DatabaseUnavailable, LeaseLost):
            raise
        except Exception as error:
            refused = error if isinstance(error, DBAPIError) else None
            if refused and is_away(refused):
                raise
            if len(ids) == 1:
                self.fail(ids[0], describe_error(error), refused is not None and is_passing(refused))
                return 0
        return sum(self.each([project], work) for project in ids)

    @contextmanager
    def apart(self) -> Iterator[Engine]:
        """For a source with slow calls between its transactions: a dry run undoes each at its end."""
        if not self.dry_run:
            yield self.engine
            return
        with dry_run(self.engine, keep=False) as engine:
            yield engine
