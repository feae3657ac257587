"""What one reading of one source came to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from metering.catalogue.meters import Source
from metering.db.transactions import chunks, transaction
from metering.ledger.gauges import record_failures

Progress = Callable[[int, int], None]  # projects done, projects in all


class Reason(str):
    """Why something was not read, in the operator's words; `passing`: the same may succeed later."""

    __slots__ = ("passing",)
    passing: bool

    def __new__(cls, text: str, passing: bool = False) -> "Reason":
        reason = super().__new__(cls, text)
        reason.passing = passing
        return reason


@dataclass
class CollectionResult:
    """Projects measured, and why others were not; what was not read keeps its last known value.

    `before`: projects that an earlier attempt of the same run had measured.
    `parts`: project -> place -> its levels, None where that place failed; of sources in several places.
    `notes`: what the numbers leave out.
    """

    source: Source
    configured: bool = True
    projects: int = 0
    before: int = 0
    requests: int = 0
    throttles: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    parts: dict[int, dict[str, Any]] = field(default_factory=dict)
    notes: set[str] = field(default_factory=set)
    problem: str = ""

    @property
    def sentence(self) -> str:
        if not self.configured:
            return f"{self.source} is not configured"
        if self.problem:
            return f"{self.source}: {self.problem}"
        failed = f", {len(self.failures)} failed" if self.failures else ""
        calls = f", {self.requests:,} calls" if self.requests else ""
        earlier = f" ({self.before} before it was taken over)" if self.before else ""
        noted = "".join(f"; {note}" for note in sorted(self.notes))
        measured = f"{self.before + self.projects} projects measured{earlier}"
        return f"{self.source}: {measured}{failed}{calls}{noted}"

    def record_failures(self, engine: Engine, at: datetime) -> None:
        """Write down for each project that failed why its level is not this hour's."""
        for chunk in chunks(sorted(self.failures)):
            with transaction(engine) as connection:
                reasons = {project: self.failures[project] for project in chunk}
                record_failures(connection, self.source, reasons, at, self.parts)
