"""The result of reading one source."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from collectors.failure import Failure
from metering.catalogue.sources import SourceName
from metering.db.transactions import chunks, transaction
from metering.ledger.failures import record_failures

Progress = Callable[[int, int], None]  # projects done, projects in all; raises when the run has ended


@dataclass
class CollectionResult:
    """The measured projects of one reading of one source, and why others failed.

    A project that was not read keeps its last known value.

    `projects`: how many were measured; `before`: how many an earlier attempt of the same run had.
    `failures`: by project id. `problem`: a failure of the source as a whole.
    `parts`: project -> place -> its levels, None where that place failed; of sources in several places.
    `requests`, `throttles`: sent, and answered with a throttle. `notes`: what the numbers leave out.
    """

    source: SourceName
    configured: bool = True
    projects: int = 0
    before: int = 0
    requests: int = 0
    throttles: int = 0
    failures: dict[int, Failure] = field(default_factory=dict)
    parts: dict[int, dict[str, Any]] = field(default_factory=dict)
    notes: set[str] = field(default_factory=set)
    problem: Failure | None = None

    @property
    def sentence(self) -> str:
        """Return the result as one line for people."""
        if not self.configured:
            return f"{self.source} is not configured"
        if self.problem:
            return f"{self.source}: {self.problem}"
        failed = f", {len(self.failures)} failed" if self.failures else ""
        calls = f", {self.requests:,} calls" if self.requests else ""
        earlier = f" ({self.before} before it was taken over)" if self.before else ""
        notes = "".join(f"; {note}" for note in sorted(self.notes))
        measured = f"{self.before + self.projects} projects measured{earlier}"
        return f"{self.source}: {measured}{failed}{calls}{notes}"

    def record_failures(self, engine: Engine, at: datetime) -> None:
        """Record in the hour of `at`, for each project that failed, why it was not measured."""
        for chunk in chunks(sorted(self.failures)):
            with transaction(engine) as connection:
                failures = {project: self.failures[project] for project in chunk}
                record_failures(connection, self.source, failures, at, self.parts)
