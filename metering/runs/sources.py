"""The interface of a source that jobs read; the collectors implement it (collectors/sources.py).

To add a source: an entry in metering/catalogue/sources.py, its meters in metering/catalogue/meters.py, a
migration for their columns, an object of the shape of `Source`, and its place in collectors/sources.py.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, Engine

from metering.catalogue.sources import SourceName
from metering.config.settings import Settings

Progress = Callable[[int, int], None]  # projects done, projects in all; raises when the run has ended


class Failure(Protocol):
    """Why something was not read; its text is a sentence for people.

    `retryable`: a later attempt may succeed without anybody's help. `kind`: denied, failed or timeout.
    """

    @property
    def kind(self) -> str:
        """Return the kind of the failure."""
        ...

    @property
    def retryable(self) -> bool:
        """Return whether a later attempt may succeed."""
        ...


class SourceResult(Protocol):
    """The result of reading one source for every project.

    `problem`: why the source as a whole, or a part of it, could not be read; None if it could.
    `failures`: why single projects could not, by project id.
    `throttles`: answers by which the source asked for fewer requests.
    """

    @property
    def source(self) -> SourceName:
        """Return the name of the source."""
        ...

    @property
    def sentence(self) -> str:
        """Return the result as a sentence."""
        ...

    @property
    def problem(self) -> Failure | None:
        """Return the failure of the source as a whole."""
        ...

    @property
    def failures(self) -> Mapping[int, Failure]:
        """Return the failures of single projects."""
        ...

    @property
    def throttles(self) -> int:
        """Return the number of throttled requests."""
        ...


class Source(Protocol):
    """A source that is read hourly.

    `name`: as in the catalogue, the ledger and the arguments of jobs.
    `calls_out`: it waits for answers from outside between its transactions. A dry run then rolls back
    each transaction at its end, rather than keep one open meanwhile.
    """

    @property
    def name(self) -> SourceName:
        """Return the name of the source."""
        ...

    @property
    def calls_out(self) -> bool:
        """Return whether reading waits for answers from outside."""
        ...

    def refresh(
        self,
        settings: Settings,
        engine: Engine,
        at: datetime,
        project_id: int | None = None,
        progress: Progress | None = None,
        resume: bool = False,
        read_at: datetime | None = None,
    ) -> SourceResult:
        """Read and record every project that is metered at `at` (aware, UTC), or only `project_id`.

        One project's failure is recorded for that project and stops no other. `resume`: an earlier
        attempt at `at` was interrupted; projects that it has read are left out. `read_at`: the present
        instant, which dates what is as it is now, if `at` is an earlier one.

        Raises DatabaseUnavailable, and the errors of `progress`.
        """
        ...


class Recount(Protocol):
    """The result of a recount of sealed days.

    `counts`: days recounted and adjustments posted. `failures`: projects that could not be recounted.
    """

    @property
    def counts(self) -> dict[str, int]:
        """Return the counts by name."""
        ...

    @property
    def failures(self) -> Mapping[int, Failure]:
        """Return the failures of single projects."""
        ...


class RowSource(Source, Protocol):
    """The platform's tables: a source whose rows can be counted again."""

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
    ) -> SourceResult:
        """Count rows into their hours; `sealing` also finds rows written late into open hours."""
        ...

    def recount_late(self, engine: Engine, at: datetime) -> Recount:
        """Recount each day once, 24 h after its seal. Raises SourceUnavailable."""
        ...

    def stage_range(self, connection: Connection, start: datetime, end: datetime) -> Mapping[int, Failure]:
        """Count the rows of `[start, end)` into the session's staged counts.

        Returns the projects that cannot be counted, with the reason. Raises SourceUnavailable.
        """
        ...
