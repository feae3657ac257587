"""What one reading of one source came to."""

from collections.abc import Callable
from dataclasses import dataclass, field

from metering.meters import Source

Progress = Callable[[int, int], None]  # projects done, projects in all


@dataclass
class Measured:
    """Projects measured, and why others were not; what was not read keeps its last known value."""

    source: Source
    configured: bool = True
    projects: int = 0
    throttles: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def sentence(self) -> str:
        if not self.configured:
            return f"{self.source} is not configured"
        if self.problem:
            return f"{self.source}: {self.problem}"
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"{self.source}: {self.projects} projects measured{failed}"
