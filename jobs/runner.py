"""The runner: a heartbeat that asks for what is due, and loops that claim and execute runs.

`schedule` is only the heartbeat. A job of its that raises would stop the later ones, and it thinks in
local time: so it calls one function that never raises, and what is due comes from the database.
"""

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import schedule
import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from jobs import due, execute, queue
from jobs.listener import Listener
from jobs.tasks import notify
from metering.catalogue.periods import Hour
from metering.config.settings import Settings
from metering.db.transactions import transaction
from metering.errors import DatabaseUnavailable

AT_ONCE = 3  # runs of different jobs: a long reading keeps no request from starting
HEARTBEAT = 5  # seconds
POLL = 3  # seconds between two looks at the queue when nothing rings

log = structlog.get_logger()

ALIVE = text("""
    INSERT INTO workers (name, role, host, pid) VALUES (:name, 'runner', :host, :pid)
    ON CONFLICT (name) DO UPDATE SET last_seen_at = clock_timestamp()""")


def run(settings: Settings, engine: Engine, stop: threading.Event) -> None:
    """Work until `stop`; waits, and says so once, while the database is away."""
    notify.channels(settings)  # refuses a wrong address before any work
    name = execute.worker_name()
    clock = schedule.Scheduler()
    clock.every(HEARTBEAT).seconds.do(_guarded, _tick, engine, name)
    _guarded(_tick, engine, name)
    beat = threading.Thread(target=_pulse, args=(clock, stop), daemon=True)
    beat.start()
    watch = threading.Thread(target=notify.watch, args=(settings, engine, stop), daemon=True)
    watch.start()
    hands = [
        threading.Thread(target=_serve, args=(settings, engine, f"{name}/{number}", stop))
        for number in range(AT_ONCE)
    ]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    beat.join()
    _guarded(_leave, engine, name)


def _serve(settings: Settings, engine: Engine, name: str, stop: threading.Event) -> None:
    bell = Listener(engine)
    while not stop.is_set():
        if not _guarded(_work, settings, engine, name, stop):
            bell.wait(POLL, stop)
    bell.close()


def _pulse(clock: schedule.Scheduler, stop: threading.Event) -> None:
    # `schedule` thinks in local time: after a clock was set back, or summer time ended, its next turn
    # would be an hour away.
    while not stop.wait(1):
        if (clock.idle_seconds or 0) > HEARTBEAT:
            clock.run_all()
        else:
            clock.run_pending()


def _tick(engine: Engine, name: str) -> None:
    with transaction(engine) as connection:
        connection.execute(ALIVE, {"name": name, "host": socket.gethostname(), "pid": os.getpid()})
        due.enqueue_due(connection, datetime.now(UTC))


def _work(settings: Settings, engine: Engine, name: str, stop: threading.Event) -> bool:
    with transaction(engine) as connection:
        run = queue.claim(connection, name)
    if run is None:
        return False
    execute.execute(settings, engine, _timely(run, datetime.now(UTC)), leave=stop)
    return True


def _timely(run: queue.Run, now: datetime) -> queue.Run:
    """A refresh that comes late, after an outage or tried again, reads levels of the hour it runs in."""
    late = run.job == "hourly" and run.trigger != "manual" and Hour.of(run.at) < Hour.of(now)
    return replace(run, at=now) if late else run


def _leave(engine: Engine, name: str) -> None:
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM workers WHERE name = :name"), {"name": name})


def _guarded(do: Callable[..., object], *arguments: object) -> bool:
    """Do it; a database that is away is waited for, anything else is logged and the loop goes on."""
    try:
        done = bool(do(*arguments))
        _trouble.over()
        return done
    except (DatabaseUnavailable, DBAPIError) as error:
        _trouble.say(str(error).splitlines()[0])
    except Exception as error:
        _trouble.say(f"{type(error).__name__}: {error}".splitlines()[0])
    return False


class Trouble:
    """Says what is wrong once, and when it is over: not twice a second for as long as it lasts."""

    def __init__(self) -> None:
        self.known: str | None = None

    def say(self, problem: str) -> None:
        if self.known is None:
            log.warning("the runner waits", problem=problem)
        self.known = problem

    def over(self) -> None:
        if self.known is not None:
            log.info("the runner goes on")
        self.known = None


_trouble = Trouble()
