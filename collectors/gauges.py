"""A source of levels that lies in one or several places, such as buckets, each read for every project."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, text

from collectors.aws.client import RequestCount
from collectors.gauge_collector import GaugeCollector, Project, Reader
from collectors.result import CollectionResult, Progress
from collectors.sampled_at import sampled_at
from metering.catalogue import platform
from metering.catalogue.projects import METERED_UNTIL
from metering.catalogue.sources import SourceName, source_info
from metering.config.aws import Place
from metering.config.settings import Settings
from metering.db.transactions import transaction

Readers = AbstractContextManager[dict[Place, Reader]]

METERED = f"""
    SELECT p.id, p.organization_id, s.{{0}}_measured_at >= :at AS done
    FROM {platform.PROJECTS} p LEFT JOIN project_stats s ON s.project_id = p.id
    WHERE p.created_at <= :at AND {METERED_UNTIL} > :at
        AND (CAST(:project_id AS bigint) IS NULL OR p.id = :project_id)
    ORDER BY p.id"""


@dataclass(frozen=True)
class GaugeSource:
    """A source of levels (see metering.runs.sources.Source).

    `open_readers` opens a reader for each place; it takes the settings, the count of requests to keep
    and the result's notes to add to. `order`: the key by which projects are best sorted for reading.
    """

    name: SourceName
    open_readers: Callable[[Settings, RequestCount, set[str]], Readers]
    order: Callable[[Settings, Project], str] | None = None
    calls_out: bool = True

    def refresh(
        self,
        settings: Settings,
        engine: Engine,
        at: datetime,
        project_id: int | None = None,
        progress: Progress | None = None,
        resume: bool = False,
        read_at: datetime | None = None,
    ) -> CollectionResult:
        """Sample the levels of every project that is metered at `at`, or only of `project_id`.

        A level is of the moment in which it is read: of `read_at`, where that is in a later hour.
        """
        at = sampled_at(at, read_at)
        result = CollectionResult(self.name, configured=source_info(self.name).is_configured(settings))
        if not result.configured:
            return result
        projects, result.before = metered_projects(engine, self.name, at, project_id, resume)
        if result.before and not projects:
            return result
        if self.order is not None:
            order = self.order
            projects.sort(key=lambda project: order(settings, project))
        requests = RequestCount()
        with self.open_readers(settings, requests, result.notes) as readers:
            return GaugeCollector(engine, at, result, projects, readers, requests, progress).run()


def metered_projects(
    engine: Engine, source: SourceName, at: datetime, project_id: int | None, resume: bool
) -> tuple[list[Project], int]:
    """Return the projects to read at `at`, and how many were read already.

    Only a reading that is resumed leaves some out.
    """
    with transaction(engine) as connection:
        parameters = {"at": at, "project_id": project_id}
        rows = connection.execute(text(METERED.format(source)), parameters).all()
    remaining = [(row.id, row.organization_id) for row in rows if not (resume and row.done)]
    return remaining, len(rows) - len(remaining)
