"""The sources that the hourly job reads, in order."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from collectors.aws import ecr, s3
from collectors.platform import rows
from collectors.result import CollectionResult, Progress
from metering.catalogue.meters import Source as SourceName
from metering.config.settings import Settings


@dataclass(frozen=True)
class ModuleSource:
    """A source whose module has a function `refresh`."""

    name: SourceName
    module: Any
    calls_out: bool = True

    def refresh(
        self,
        settings: Settings,
        engine: Engine,
        at: datetime,
        project_id: int | None = None,
        progress: Progress | None = None,
        resume: bool = False,
    ) -> CollectionResult:
        """Read every project, or one, at `at`; `resume` a reading that was interrupted."""
        result: CollectionResult = self.module.refresh(settings, engine, at, project_id, progress, resume)
        return result


@dataclass(frozen=True)
class PlatformDb:
    """The platform's tables, whose rows can be counted again."""

    name: SourceName = rows.SOURCE
    calls_out: bool = False

    def refresh(
        self,
        settings: Settings,
        engine: Engine,
        at: datetime,
        project_id: int | None = None,
        progress: Progress | None = None,
        resume: bool = False,
        sealing: bool = False,
    ) -> CollectionResult:
        """Count rows into their hours; see `rows.refresh`."""
        return rows.refresh(settings, engine, at, project_id, progress, resume, sealing)

    def recount_late(self, engine: Engine, at: datetime) -> dict[str, int]:
        """Recount each day once, 24 h after its seal; see `rows.recount_late`."""
        return rows.recount_late(engine, at)

    def stage_range(self, connection: Connection, start: datetime, end: datetime) -> None:
        """Count the rows of `[start, end)` into the session's staged counts; see `rows.stage_range`."""
        rows.stage_range(connection, start, end)


PLATFORM_DB = PlatformDb()
SOURCES = (PLATFORM_DB, ModuleSource("s3", s3), ModuleSource("ecr", ecr))
