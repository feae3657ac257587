"""What a run needs of the sources that it reads; the collectors provide them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Engine

from metering.catalogue.sources import SourceName
from metering.config.settings import Settings

Progress = Callable[[int, int], None]  # projects done, projects in all


class Reading(Protocol):
    """The result of reading one source for every project.

    `problem` is empty, or says why the source as a whole could not be read; `failures` say why single
    projects could not. Each has an attribute `retryable`: whether the same may succeed later.
    """

    @property
    def source(self) -> SourceName: ...
    @property
    def sentence(self) -> str: ...
    @property
    def problem(self) -> Any: ...
    @property
    def failures(self) -> Mapping[int, Any]: ...
    @property
    def throttles(self) -> int: ...


class Source(Protocol):
    """A source that is read hourly.

    `calls_out`: it waits for answers from outside between its transactions. A dry run then rolls back
    each transaction at its end, rather than keep one open meanwhile.
    """

    @property
    def name(self) -> SourceName: ...
    @property
    def calls_out(self) -> bool: ...

    def refresh(
        self,
        settings: Settings,
        engine: Engine,
        at: datetime,
        project_id: int | None = None,
        progress: Progress | None = None,
        resume: bool = False,
    ) -> Reading:
        """Read every project, or one, at `at` into the ledger; `resume` an interrupted reading."""
        ...


class RowSource(Protocol):
    """The platform's tables: a source whose rows can be counted again."""

    @property
    def name(self) -> SourceName: ...

    def refresh(
        self,
        settings: Settings,
        engine: Engine,
        at: datetime,
        project_id: int | None = None,
        progress: Progress | None = None,
        resume: bool = False,
        sealing: bool = False,
    ) -> Reading:
        """Count rows into their hours; `sealing` also finds rows written late into open hours."""
        ...

    def recount_late(self, engine: Engine, at: datetime) -> dict[str, int]:
        """Recount each day once, 24 h after its seal. Raises SourceUnavailable."""
        ...

    def stage_range(self, connection: Connection, start: datetime, end: datetime) -> None:
        """Count the rows of `[start, end)` into the session's staged counts. Raises SourceUnavailable."""
        ...
