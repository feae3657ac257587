"""Run jobs: a heartbeat that asks for what is due, and threads that claim and execute runs.

`schedule` is only the heartbeat. It works in local time: so it calls one function, and what is due comes from
the database. While the database is away the threads wait; an error that nobody foresaw ends the process.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import schedule
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from jobs import alert_channels, due, notify
from jobs.listener import Listener
from jobs.registry import TASKS
from jobs.state import RunnerState
from jobs.threads import Threads
from metering.catalogue.periods import Hour
from metering.config.settings import Settings
from metering.db import clock, workers
from metering.db.engine import describe_error
from metering.db.transactions import transaction
from metering.errors import FleetmeterError
from metering.probes.server import serving
from metering.runs import lease
from metering.runs.definitions import READ_PLATFORM
from metering.runs.execution import execute
from metering.runs.lease import Run

WORKERS = 3  # threads, each with a run of another job: a long one keeps no request waiting
HEARTBEAT = 5  # seconds
POLL = 3  # seconds between two looks at the queue without a notification

LOG = structlog.get_logger("runner")


def run(settings: Settings, engine: Engine, stop: threading.Event) -> None:
    """Work until `stop`; wait, and log it once, while the database is away."""
    alert_channels.configured(settings)  # refuses a wrong address before any work
    state = RunnerState()
    with serving(state, settings, settings.runner_metrics_port):
        _run(settings, engine, stop, state)


def _run(settings: Settings, engine: Engine, stop: threading.Event, state: RunnerState) -> None:
    name, guard = lease.worker_name(), OutageGuard("heartbeat")
    scheduler = schedule.Scheduler()
    scheduler.every(HEARTBEAT).seconds.do(_heartbeat, settings, engine, name, state, guard)
    _heartbeat(settings, engine, name, state, guard)
    threads = Threads(stop)
    threads.start("heartbeat", _beat, scheduler, stop, state)
    threads.start("alerts", notify.watch, settings, engine, stop, awaited=False)
    for number in range(WORKERS):
        threads.start(f"worker {number}", _serve, settings, engine, f"{name}/{number}", stop, state)
    threads.join()
    guard.run(_leave, engine, name)


def _heartbeat(
    settings: Settings, engine: Engine, name: str, state: RunnerState, guard: "OutageGuard"
) -> None:
    guard.run(_tick, settings, engine, name)
    state.note_problem(guard.problem)


def _serve(settings: Settings, engine: Engine, name: str, stop: threading.Event, state: RunnerState) -> None:
    listener, guard = Listener(engine), OutageGuard(threading.current_thread().name)
    while not stop.is_set():
        state.turn(name)
        if not guard.run(_work, settings, engine, name, stop, state):
            listener.wait(POLL, stop)
    listener.close()


def _beat(scheduler: schedule.Scheduler, stop: threading.Event, state: RunnerState) -> None:
    # `schedule` works in local time: after a clock was set back, or summer time ended, its next turn
    # would be an hour away.
    while not stop.wait(1):
        state.turn("the heartbeat")
        if (scheduler.idle_seconds or 0) > HEARTBEAT:
            scheduler.run_all()
        else:
            scheduler.run_pending()


def _tick(settings: Settings, engine: Engine, name: str) -> None:
    now = datetime.now(UTC)
    with transaction(engine) as connection:
        seconds = round(clock.difference(connection, now).total_seconds(), 1)
        workers.heartbeat(connection, name, "runner", {"clock_difference_seconds": seconds})
    with transaction(engine) as connection:
        clock.require(connection, now, settings.clock_tolerance)
        due.enqueue_due(connection, now)


def _work(settings: Settings, engine: Engine, name: str, stop: threading.Event, state: RunnerState) -> bool:
    now = datetime.now(UTC)
    with transaction(engine) as connection:
        clock.require(connection, now, settings.clock_tolerance)
        run = lease.claim(connection, name)
    if run is None:
        return False
    with state.executing(name, run.job) as outcomes:
        outcomes.append(execute(settings, engine, TASKS, timely(run, now), leave=stop))
    return True


def timely(run: Run, now: datetime) -> Run:
    """Return `run` as it is made at `now`: what it reads is dated `now`, whatever its `at` says.

    A scheduled job that reads the platform and is late, after an outage or as a retry, takes `now` as its
    `at`, too: it seals and closes what is over by now, in order. A person may have chosen `at`.
    """
    scheduled = run.trigger == "schedule" and run.job in READ_PLATFORM
    moves = scheduled or (run.job == "hourly" and run.trigger != "manual")
    late = moves and Hour.of(run.at) < Hour.of(now)
    return replace(run, at=now if late else run.at, read_at=now)


def _leave(engine: Engine, name: str) -> None:
    with transaction(engine) as connection:
        workers.leave(connection, name)


class OutageGuard:
    """A thread's outage. Logs each kind once, and its end: not twice a second while it lasts."""

    def __init__(self, thread: str) -> None:
        self._thread = thread
        self.problem: str | None = None
        self._kind: type[Exception] | None = None

    def run(self, work: Callable[..., object], *arguments: object) -> bool:
        """Do `work`; return whether it did something. Log an error that may pass; raise a bug of ours."""
        try:
            worked = bool(work(*arguments))
        except (FleetmeterError, DBAPIError) as error:
            self._report(error)
            return False
        self._over()
        return worked

    def _report(self, error: Exception) -> None:
        self.problem = describe_error(error)
        if type(error) is not self._kind:
            LOG.warning("runner.paused", thread=self._thread, reason=self.problem)
        self._kind = type(error)

    def _over(self) -> None:
        if self.problem is not None:
            LOG.info("runner.resumed", thread=self._thread)
        self.problem = self._kind = None
