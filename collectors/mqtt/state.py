"""The state of a counter daemon for its probes: it writes here between messages.

The reading thread notes itself once a second and after each commit, the writing thread before each attempt,
so nothing is added to the cost of a message. Figures start at zero with the process.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from collectors.mqtt.totals import QOS0, QOS1, Totals

HUNG_SECONDS = 120.0  # without a turn of a thread: longer than any pause between two attempts


@dataclass(eq=False)  # hashable: the registry of metrics needs it
class CounterState:
    """Figures of one process; `..._at` and `..._since` are monotonic seconds."""

    stage: str = "waiting for the broker"
    counting: bool = False
    connected: bool = False
    writing_fails: bool = False
    turned_at: float = field(default_factory=time.monotonic)
    writer_turned_at: float = field(default_factory=time.monotonic)
    inbound: int = 0
    outbound: int = 0
    malformed: int = 0
    commits: int = 0
    commit_seconds: float = 0.0
    gaps: int = 0
    in_flight: int = 0
    waiting_since: float | None = None
    committed_at: float = 0.0

    def begin_counting(self) -> None:
        """Note that reading and writing threads are at work from now on."""
        self.turned_at = self.writer_turned_at = time.monotonic()
        self.stage, self.counting, self.writing_fails = "connecting to the broker", True, False

    def end_counting(self, stage: str) -> None:
        """Note that no thread reads or writes; `stage` says what the daemon does now."""
        self.turned_at = time.monotonic()
        self.stage, self.counting, self.connected = stage, False, False
        self.in_flight, self.waiting_since, self.writing_fails = 0, None, False

    def turn(self) -> None:
        """Note that the main thread goes on."""
        self.turned_at = time.monotonic()

    def read(self, now: float, connected: bool, in_flight: int, waiting: bool) -> None:
        """Note where the reading thread stands; `waiting`: something that was read is not committed."""
        self.turned_at, self.connected, self.in_flight = now, connected, in_flight
        if not waiting:
            self.waiting_since = None
        elif self.waiting_since is None:
            self.waiting_since = now

    def committed(self, totals: Totals, seconds: float) -> None:
        """Add a committed batch and how long its commit took."""
        self.committed_at = time.monotonic()
        self.commits += 1
        self.commit_seconds += seconds
        for project in totals.projects.values():
            self.inbound += project.inbound[QOS0] + project.inbound[QOS1]
            self.outbound += project.outbound[QOS0] + project.outbound[QOS1]
        self.malformed += totals.malformed[QOS0] + totals.malformed[QOS1]

    @property
    def lag(self) -> float:
        """Return the seconds since messages wait or the last commit; 0 if none wait."""
        since = self.waiting_since
        return 0.0 if since is None else max(0.0, time.monotonic() - max(since, self.committed_at))

    def not_live(self) -> str | None:
        """Return which thread hangs, None if all turn."""
        now = time.monotonic()
        if now - self.turned_at > HUNG_SECONDS:
            return f"the main thread has not turned for {now - self.turned_at:.0f} s"
        if self.counting and now - self.writer_turned_at > HUNG_SECONDS:
            return f"the writing thread has not turned for {now - self.writer_turned_at:.0f} s"
        return None

    def not_ready(self) -> str | None:
        """Return why messages are not counted now, None if they are."""
        if not self.counting or not self.connected:
            return self.stage
        if self.writing_fails:
            return "the database takes no counts; counting goes on in memory"
        return self.not_live()

    def collect(self) -> Iterator[Metric]:
        """Yield the figures in Prometheus' terms."""
        messages = CounterMetricFamily(
            "fleetmeter_counter_messages",
            "Committed; malformed: the topic is.",
            labels=["direction"],
        )
        for direction in ("inbound", "outbound", "malformed"):
            messages.add_metric([direction], getattr(self, direction))
        yield messages
        yield CounterMetricFamily("fleetmeter_counter_commits", "Committed batches.", self.commits)
        yield CounterMetricFamily(
            "fleetmeter_counter_commit_seconds", "Time that commits took, retries too.", self.commit_seconds
        )
        yield CounterMetricFamily("fleetmeter_counter_gaps", "Gaps that this process found.", self.gaps)
        yield GaugeMetricFamily("fleetmeter_counter_connected", "1 while subscribed.", int(self.connected))
        yield GaugeMetricFamily(
            "fleetmeter_counter_in_flight_messages",
            "At QoS 1, waiting for a commit.",
            self.in_flight,
        )
        yield GaugeMetricFamily(
            "fleetmeter_counter_lag_seconds", "Age of the last commit while messages wait, else 0.", self.lag
        )
