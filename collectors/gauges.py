"""Levels of a source that lies in one or several places, each read for every project.

A project's level is the sum over the places, and is known when every place is; the parts are kept.
What failed for a passing reason is read again at the end, so that a throttled hour ends late.
"""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text

from collectors.aws.client import RequestCount
from collectors.aws.errors import Failure
from collectors.result import CollectionResult, Progress, Reason
from metering.catalogue.meters import Source
from metering.catalogue.projects import METERED_UNTIL
from metering.config.aws import Place
from metering.db.transactions import transaction
from metering.ledger.gauges import record_gauges

BATCH = 200  # projects recorded in one transaction, as they come
SOON = 2.0  # seconds after which fewer are recorded: what was read outlives a runner that is killed
PAUSES = (5.0, 15.0, 45.0)  # seconds before what AWS throttled is read again

Project = tuple[int, int]  # project id, organization id
Levels = dict[str, int]  # gauge -> level


@dataclass(frozen=True)
class StaleSample:
    """Levels as they were at `at`, before the reading: of files that AWS writes once a day, say."""

    levels: Levels
    at: datetime


Sample = Levels | StaleSample | Failure
# One source in one place: an answer for each project, in their order. A second source of the same
# measure, such as S3 Inventory, is another of this shape, whose answers say of when they are.
Read = Callable[[Sequence[Project]], Iterable[Sample]]

METERED = f"""
    SELECT p.id, p.organization_id, s.{{0}}_measured_at >= :at AS done
    FROM projects p LEFT JOIN project_stats s ON s.project_id = p.id
    WHERE p.created_at <= :at AND {METERED_UNTIL} > :at
        AND (CAST(:project_id AS bigint) IS NULL OR p.id = :project_id)
    ORDER BY p.id"""


def metered(
    engine: Engine, source: Source, at: datetime, project_id: int | None, again: bool
) -> tuple[list[Project], int]:
    """Projects that are metered at `at`; of `again` those not read, and how many were read before."""
    with transaction(engine) as connection:
        given = {"at": at, "project_id": project_id}
        rows = connection.execute(text(METERED.format(source)), given).all()
    found = [(row.id, row.organization_id) for row in rows if not (again and row.done)]
    return found, len(rows) - len(found)


@dataclass
class GaugeCollector:
    """One source being read: its places, each with how it is read, and what it came to."""

    engine: Engine
    at: datetime
    result: CollectionResult
    found: list[Project]
    reads: dict[Place, Read]
    tally: RequestCount
    progress: Progress | None = None
    again: dict[int, str] = field(default_factory=dict)
    recorded_at: float = field(default_factory=time.monotonic)

    def run(self) -> CollectionResult:
        """Read and record every project's level; the result says what failed."""
        self._pass(self.found)
        for pause in PAUSES:
            if not self.again:
                break
            self._wait(pause * random.uniform(0.7, 1.3))  # noqa: S311 - all runners at once would be throttled again
            self._pass([project for project in self.found if project[0] in self.again])
        self.result.failures |= self.again
        self.result.requests, self.result.throttles = self.tally.requests, self.tally.throttles
        self.result.record_failures(self.engine, self.at)
        return self.result

    def _pass(self, wanted: list[Project]) -> None:
        self.again = {}
        answers = zip(wanted, *(read(wanted) for read in self.reads.values()), strict=True)
        batch: dict[int, list[Sample]] = {}
        for project, *parts in answers:
            batch[project[0]] = parts
            if len(batch) == BATCH or time.monotonic() - self.recorded_at > SOON:
                self._record(batch)
                batch = {}
        self._record(batch)

    def _record(self, batch: dict[int, list[Sample]]) -> None:
        samples, parts = {}, {}
        earlier: dict[int, datetime] = {}
        for project, answers in batch.items():
            failed = [answer for answer in answers if isinstance(answer, Failure)]
            if len(answers) > 1:
                places = zip(self.reads, answers, strict=True)
                parts[project] = {str(place): _kept(answer) for place, answer in places}
            if failed:
                self._failed(project, failed)
            else:
                samples[project] = _sum(answers)
                # A sum is as old as its oldest part.
                instants = [answer.at for answer in answers if isinstance(answer, StaleSample)]
                earlier |= {project: min(instants)} if instants else {}
        self.result.parts |= parts
        if samples:
            with transaction(self.engine) as connection:
                record_gauges(connection, self.result.source, samples, self.at, parts, earlier=earlier)
        self.result.projects += len(samples)
        self.recorded_at = time.monotonic()
        if self.progress:
            done = self.result.before + self.result.projects + len(self.result.failures)
            self.progress(done, self.result.before + len(self.found))

    def _failed(self, project: int, failed: list[Failure]) -> None:
        said = "; ".join(dict.fromkeys(failure.reason for failure in failed))
        reason = Reason(said, passing=all(failure.passing or failure.later for failure in failed))
        passing = all(failure.passing for failure in failed)
        (self.again if passing else self.result.failures)[project] = reason

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(min(1.0, seconds))
            if self.progress:  # which raises when this run is over
                self.progress(self.result.before + self.result.projects, self.result.before + len(self.found))


def _kept(answer: Sample) -> dict[str, Any] | None:
    if isinstance(answer, StaleSample):
        return answer.levels | {"sampled_at": answer.at.isoformat()}
    return None if isinstance(answer, Failure) else answer


def _sum(answers: Iterable[Sample]) -> Levels:
    total: Levels = {}
    for answer in answers:
        levels = answer.levels if isinstance(answer, StaleSample) else answer
        for gauge, level in levels.items() if isinstance(levels, dict) else ():
            total[gauge] = total.get(gauge, 0) + level
    return total


def refresh(
    result: CollectionResult,
    readers: Callable[[RequestCount], AbstractContextManager[dict[Place, Read]]],
    engine: Engine,
    at: datetime,
    project_id: int | None,
    progress: Progress | None,
    again: bool,
    order: Callable[[Project], str] | None = None,
) -> CollectionResult:
    """Read `result.source` in each of its places; `readers` opens what they are read with.

    `again`: go on with a reading at `at` that was broken off. `order`: in which answers come soonest.
    """
    found, result.before = metered(engine, result.source, at, project_id, again)
    if result.before and not found:
        return result
    if order is not None:
        found.sort(key=order)
    tally = RequestCount()
    with readers(tally) as reads:
        return GaugeCollector(engine, at, result, found, reads, tally, progress).run()
