"""Read and record the levels of one source: a project's level is the sum over the source's places.

The sum is known when every place was read; the parts are recorded beside it. Transient failures are
read again at the end, so that throttling makes an hour late and not wrong.
"""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from collectors.aws.client import RequestCount
from collectors.failure import Failure, failure_of_places
from collectors.result import CollectionResult, Progress
from metering.config.aws import Place
from metering.db.isolation import isolate
from metering.db.transactions import transaction
from metering.ledger.failures import database_failure
from metering.ledger.gauges import record_gauges
from metering.ledger.staging import LARGEST

BATCH = 200  # projects recorded in one transaction
RECORD_AFTER = 2.0  # seconds after which fewer are recorded: a killed runner loses no more than that
PAUSES = (5.0, 15.0, 45.0)  # seconds before each further pass over transient failures

Project = tuple[int, int]  # project id, organization id
Levels = dict[str, int]  # gauge -> level


@dataclass(frozen=True)
class StaleSample:
    """Levels as of `at`, which is earlier than the read: of files that AWS writes once a day, say."""

    levels: Levels
    at: datetime


Sample = Levels | StaleSample | Failure
# Reads one place: returns a sample for each project, in their order.
Reader = Callable[[Sequence[Project]], Iterable[Sample]]


@dataclass
class GaugeCollector:
    """One reading of a source: its projects, a reader for each place, and the result so far."""

    engine: Engine
    at: datetime
    result: CollectionResult
    projects: list[Project]
    readers: dict[Place, Reader]
    requests: RequestCount
    progress: Progress | None = None
    transient: dict[int, Failure] = field(default_factory=dict)
    recorded_at: float = field(default_factory=time.monotonic)

    def run(self) -> CollectionResult:
        """Read and record every project's levels; return the counts and failures."""
        self._pass(self.projects)
        for pause in PAUSES:
            if not self.transient:
                break
            # Random, because runners that pause alike would be throttled together again.
            self._wait(pause * random.uniform(0.7, 1.3))  # noqa: S311
            self._pass([project for project in self.projects if project[0] in self.transient])
        self.result.failures |= self.transient
        self.result.requests, self.result.throttles = self.requests.requests, self.requests.throttles
        self.result.record_failures(self.engine, self.at)
        return self.result

    def _pass(self, projects: list[Project]) -> None:
        self.transient = {}
        samples = zip(projects, *(read(projects) for read in self.readers.values()), strict=True)
        batch: dict[int, list[Sample]] = {}
        for project, *parts in samples:
            batch[project[0]] = parts
            if len(batch) == BATCH or time.monotonic() - self.recorded_at > RECORD_AFTER:
                self._record(batch)
                batch = {}
        self._record(batch)

    def _record(self, batch: dict[int, list[Sample]]) -> None:
        levels: dict[int, Levels] = {}
        parts: dict[int, dict[str, Any]] = {}
        stale: dict[int, datetime] = {}
        for project, samples in batch.items():
            if len(samples) > 1:
                places = zip(self.readers, samples, strict=True)
                parts[project] = {str(place): _recorded_part(sample) for place, sample in places}
            failures = [sample for sample in samples if isinstance(sample, Failure)]
            if failures:
                self._fail(project, failure_of_places(failures))
                continue
            total = _sum(samples)
            impossible = [gauge for gauge, level in total.items() if not 0 <= level <= LARGEST]
            if impossible:
                self._fail(project, Failure(f"{' and '.join(impossible)}: the level does not fit in 64 bits"))
                continue
            levels[project] = total
            # A sum is as old as its oldest part.
            instants = [sample.at for sample in samples if isinstance(sample, StaleSample)]
            stale |= {project: min(instants)} if instants else {}
        self.result.parts |= parts
        self._write(levels, parts, stale)
        self.recorded_at = time.monotonic()
        self._report()

    def _write(
        self,
        levels: dict[int, Levels],
        parts: dict[int, dict[str, Any]],
        stale: dict[int, datetime],
    ) -> None:
        source = self.result.source

        def write(ids: list[int]) -> None:
            of_ids = {project: levels[project] for project in ids}
            with transaction(self.engine) as connection:
                record_gauges(connection, source, of_ids, self.at, parts, stale=stale)
            self.result.projects += len(ids)

        def refused(project: int, error: DBAPIError) -> None:
            cause = database_failure(error)
            self._fail(project, Failure(cause.reason, cause.kind))

        isolate(sorted(levels), write, refused)

    def _fail(self, project: int, failure: Failure) -> None:
        (self.transient if failure.transient else self.result.failures)[project] = failure

    def _report(self) -> None:
        if self.progress:
            finished = self.result.before + self.result.projects + len(self.result.failures)
            self.progress(finished, self.result.before + len(self.projects))

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(min(1.0, seconds))
            self._report()  # raises when this run has ended


def _recorded_part(sample: Sample) -> dict[str, Any] | None:
    if isinstance(sample, StaleSample):
        return sample.levels | {"sampled_at": sample.at.isoformat()}
    return None if isinstance(sample, Failure) else sample


def _sum(samples: Iterable[Sample]) -> Levels:
    total: Levels = {}
    for sample in samples:
        levels = sample.levels if isinstance(sample, StaleSample) else sample
        for gauge, level in levels.items() if isinstance(levels, dict) else ():
            total[gauge] = total.get(gauge, 0) + level
    return total
