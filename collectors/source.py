"""The interface of a source that is read hourly.

To add one: an entry in metering/catalogue/sources.py, its meters in metering/catalogue/meters.py, a
migration for their columns, an object of this shape, and its place in collectors/sources.py.
"""

from datetime import datetime
from typing import Protocol

from sqlalchemy import Engine

from collectors.result import CollectionResult, Progress
from metering.catalogue.sources import SourceName
from metering.config.settings import Settings


class Source(Protocol):
    """A source that is read hourly; `collectors.sources.SOURCES` lists them.

    `name`: as in the catalogue, the ledger and the arguments of jobs.
    `calls_out`: it waits for an answer from outside between its transactions. A dry run then rolls back
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
    ) -> CollectionResult:
        """Read and record every project that is metered at `at` (aware, UTC), or only `project_id`.

        One project's failure is recorded for that project and stops no other. `resume`: an earlier
        attempt at `at` was broken off; projects that it has read are left out.

        Raises DatabaseUnavailable, or what `progress` raises; no failure of the source itself.
        """
        ...
