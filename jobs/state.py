"""The state of a runner for its probes: its threads write here.

Labels are the jobs of the registry and the states of a run, so their number is fixed.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from metering.runs.outcome import Outcome

HUNG_SECONDS = 120.0  # without a turn of a thread that has no run
ERROR_STATES = ("failed", "dead")


class RunnerState:
    """Figures of one process; they start at zero with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turned: dict[str, float] = {}  # by thread, monotonic seconds
        self._working: dict[str, str] = {}  # by thread, the job
        self._invocations: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()
        self._throttles: Counter[str] = Counter()
        self._problem: str | None = None

    def turn(self, thread: str) -> None:
        """Note that `thread` goes on."""
        with self._lock:
            self._turned[thread] = time.monotonic()

    def note_problem(self, reason: str | None) -> None:
        """Note why the heartbeat failed, None once it has succeeded."""
        self._problem = reason

    @contextmanager
    def executing(self, thread: str, job: str) -> Iterator[list[Outcome]]:
        """Count a run of `job`; the outcome goes into the list. Without one it counts as an error."""
        began, outcomes = time.monotonic(), list[Outcome]()
        with self._lock:
            self._working[thread] = job
            self._invocations[job] += 1
        try:
            yield outcomes
        finally:
            ended = time.monotonic()
            with self._lock:
                del self._working[thread]
                self._turned[thread] = ended
                self._seconds[job] += ended - began  # type: ignore[assignment]
                self._throttles[job] += sum(outcome.throttles for outcome in outcomes)
                if not outcomes or outcomes[0].state in ERROR_STATES:
                    self._errors[job] += 1

    def not_live(self) -> str | None:
        """Return which thread hangs, None if all turn; a run may take its time."""
        now = time.monotonic()
        with self._lock:
            late = [
                f"{thread} has not turned for {now - turned:.0f} s"
                for thread, turned in self._turned.items()
                if thread not in self._working and now - turned > HUNG_SECONDS
            ]
        return "; ".join(late) or None

    def not_ready(self) -> str | None:
        """Return why no job is run now, None if jobs are."""
        if not self._turned:
            return "the runner starts"
        return self._problem or self.not_live()

    def collect(self) -> Iterator[Metric]:
        """Yield the figures in Prometheus' terms."""
        with self._lock:
            counters = self._invocations, self._errors, self._seconds, self._throttles
            figures = [values.copy() for values in counters]
            running = len(self._working)
        texts = (
            ("fleetmeter_job_invocations", "Runs that this process began."),
            ("fleetmeter_job_errors", "Runs that ended failed or dead, or broke off."),
            ("fleetmeter_job_duration_seconds", "Time that runs took, all together."),
            ("fleetmeter_job_throttles", "Answers by which sources asked for fewer requests."),
        )
        for (name, text), values in zip(texts, figures, strict=True):
            family = CounterMetricFamily(name, text, labels=["job"])
            for job in figures[0]:
                family.add_metric([job], values[job])
            yield family
        yield GaugeMetricFamily("fleetmeter_runner_running", "Runs that this process executes now.", running)
