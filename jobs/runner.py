"""Run jobs: a heartbeat that asks for what is due, and threads that claim and execute runs.

`schedule` is only the heartbeat. One of its jobs that raised would stop the later ones, and it works in
local time: so it calls one function that never raises, and what is due comes from the database.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import schedule
import structlog
from sqlalchemy import Engine

from jobs import due
from jobs.listener import Listener
from jobs.registry import TASKS
from jobs.state import State
from jobs.tasks import notify
from metering.catalogue.periods import Hour
from metering.config.settings import Settings
from metering.db import clock, workers
from metering.db.engine import describe_error
from metering.db.transactions import transaction
from metering.probes.server import serving
from metering.runs import lease
from metering.runs.execution import execute
from metering.runs.lease import Run

WORKERS = 3  # threads, each with a run of another job: a long one keeps no request waiting
HEARTBEAT = 5  # seconds
POLL = 3  # seconds between two looks at the queue when nobody is notified

log = structlog.get_logger()


def run(settings: Settings, engine: Engine, stop: threading.Event) -> None:
    """Work until `stop`; wait, and log it once, while the database is away."""
    notify.channels(settings)  # refuses a wrong address before any work
    state = State()
    with serving(state, settings, settings.runner_metrics_port):
        _run(settings, engine, stop, state)


def _run(settings: Settings, engine: Engine, stop: threading.Event, state: State) -> None:
    name = lease.worker_name()
    scheduler = schedule.Scheduler()
    scheduler.every(HEARTBEAT).seconds.do(_heartbeat, settings, engine, name, state)
    _heartbeat(settings, engine, name, state)
    heartbeat = threading.Thread(target=_beat, args=(scheduler, stop, state), daemon=True)
    heartbeat.start()
    threading.Thread(target=notify.watch, args=(settings, engine, stop), daemon=True).start()
    threads = [
        threading.Thread(target=_serve, args=(settings, engine, f"{name}/{number}", stop, state))
        for number in range(WORKERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heartbeat.join()
    _guarded(_leave, engine, name)


def _heartbeat(settings: Settings, engine: Engine, name: str, state: State) -> None:
    _guarded(_tick, settings, engine, name)
    state.trouble(_trouble.problem)


def _serve(settings: Settings, engine: Engine, name: str, stop: threading.Event, state: State) -> None:
    listener = Listener(engine)
    while not stop.is_set():
        state.turn(name)
        if not _guarded(_work, settings, engine, name, stop, state):
            listener.wait(POLL, stop)
    listener.close()


def _beat(scheduler: schedule.Scheduler, stop: threading.Event, state: State) -> None:
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


def _work(settings: Settings, engine: Engine, name: str, stop: threading.Event, state: State) -> bool:
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
    scheduled = run.trigger == "schedule" and run.job in ("hourly", "daily", "monthly")
    moves = scheduled or (run.job == "hourly" and run.trigger != "manual")
    late = moves and Hour.of(run.at) < Hour.of(now)
    return replace(run, at=now if late else run.at, read_at=now)


def _leave(engine: Engine, name: str) -> None:
    with transaction(engine) as connection:
        workers.leave(connection, name)


def _guarded(work: Callable[..., object], *arguments: object) -> bool:
    """Do `work`; return whether it did something. An error is logged, and the loop goes on."""
    try:
        worked = bool(work(*arguments))
        _trouble.over()
        return worked
    except Exception as error:
        _trouble.report(describe_error(error))
    return False


class Trouble:
    """Logs a problem once, and once more when it is over: not twice a second while it lasts."""

    def __init__(self) -> None:
        self.problem: str | None = None

    def report(self, problem: str) -> None:
        """Log `problem` when it is new."""
        if self.problem is None:
            log.warning("the runner waits", problem=problem)
        self.problem = problem

    def over(self) -> None:
        """Log that the problem has ended."""
        if self.problem is not None:
            log.info("the runner goes on")
        self.problem = None


_trouble = Trouble()
