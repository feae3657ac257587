"""The result of a drill: messages published and counted, and the faults meanwhile."""

from collections import Counter
from dataclasses import dataclass, field

from rich.table import Table

from fleetmeter.cli import terminal

OUT = terminal.stdout()
LOST = (
    "Messages that the broker had accepted never came. It may drop what waits for a client that is away "
    "(mosquitto: max_queued_messages, 1000 by default); deploy/mosquitto.conf has what it needs."
)
TWICE = (
    "Messages came twice. A broker that sends again under new packet ids cannot be counted exactly; "
    "collectors/mqtt/session.py says what exactness rests on."
)


@dataclass
class DrillResult:
    """Messages that the broker accepted, messages that were counted, and faults by kind."""

    seed: int
    daemons: int = 1
    published: int = 0
    counted: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def difference(self) -> int:
        """Return messages counted less messages published."""
        return self.counted - self.published

    def show(self) -> None:
        """Print the figures as a table, and the meaning of a difference."""
        table = Table("seed", "daemons", "faults", "published", "counted", "difference")
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items()))
        figures = (self.published, self.counted, self.difference)
        table.add_row(str(self.seed), str(self.daemons), kinds, *(f"{figure:,}" for figure in figures))
        OUT.print(table)
        if self.difference:
            OUT.print(LOST if self.difference < 0 else TWICE)
