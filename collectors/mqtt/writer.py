"""The writing thread: one commit at a time, again and again until it is known to have happened."""

import random
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from collectors.mqtt.buffer import Batch
from collectors.mqtt.store import Fenced, Store
from metering.catalogue.periods import Month
from metering.errors import DatabaseUnavailable
from metering.ledger.partitions import ensure_partitions

LOG = structlog.get_logger("counter")
LONGEST_PAUSE = 15.0  # seconds between two attempts

Clock = Callable[[], datetime]


class Abandoned(Exception):
    """The daemon stops and cannot wait for the database any longer."""


class Writer:
    """Runs tasks in order on its own thread; their outcomes are collected by the reading thread."""

    def __init__(self, store: Store, clock: Clock, wake: Callable[[], None]) -> None:
        self.store = store
        self.fenced: Fenced | None = None
        self.unsaved: Batch | None = None
        self.away_since: datetime | None = None
        self.last_flush_ms = 0.0
        self._clock = clock
        self._wake = wake
        self._instant_used = datetime.min.replace(tzinfo=clock().tzinfo)
        self._partitioned: Month | None = None
        self._tasks: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()
        self._done: deque[tuple[Any, Callable[[Any], None]]] = deque()
        self._changed = threading.Condition()
        self._running = False
        self._given_up = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """True while a task waits, runs, or has not been collected."""
        return bool(self._tasks or self._running or self._done)

    def submit(self, task: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Run `task` after the others; `done(result)` is called by `collect`."""
        with self._changed:
            self._tasks.append((task, done))
            self._changed.notify()

    def collect(self) -> None:
        """Call back for what is done."""
        while self._done:
            result, done = self._done.popleft()
            done(result)

    def close(self) -> None:
        """Stop, without the tasks that have not succeeded by now."""
        self._given_up.set()
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=10)

    def instant(self) -> datetime:
        """The clock, but later than ever before: a flush is known again by its instant."""
        at = max(self._clock(), self._instant_used + timedelta(microseconds=1))
        self._instant_used = at
        return at

    def flush(self, piece: Batch) -> datetime:
        """Commit `piece`, however long it takes; returns its instant. Raises Fenced, Abandoned."""
        self.unsaved = piece
        for attempt in count():
            at = self.instant()
            try:
                self._ensure_partitions(at)
                self.store.commit(piece.tally, piece.cut.last, at)
                break
            except (DatabaseUnavailable, SQLAlchemyError) as error:
                self._pause(error, attempt)
            # If the answer is that another daemon took over, whether it was committed stays unknown.
            self.unsaved = None
            if self._insist(partial(self.store.was_committed, at)):
                break
            self.unsaved = piece
        self._database_is_back()
        self.unsaved = None
        return at

    def persist(self, operation: Callable[[], Any]) -> Any:
        """The result of `operation`, tried until the database answers. Raises Fenced, Abandoned."""
        result = self._insist(operation)
        self._database_is_back()
        return result

    def _insist(self, operation: Callable[[], Any]) -> Any:
        for attempt in count():
            try:
                return operation()
            except (DatabaseUnavailable, SQLAlchemyError) as error:
                self._pause(error, attempt)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._tasks or self._closed)
                if self._closed:
                    return
                task, done = self._tasks.popleft()
                self._running = True
            try:
                self._done.append((task(), done))
            except Fenced as error:
                self.fenced = error
            except Abandoned:
                return
            finally:
                self._running = False
                self._wake()

    def _pause(self, error: Exception, attempt: int) -> None:
        if self.away_since is None:
            self.away_since = self._clock()
            LOG.warning("cannot write; counting goes on in memory", reason=_sentence(error))
        pause = min(LONGEST_PAUSE, 0.2 * 2.0 ** min(attempt, 10)) * random.uniform(0.7, 1.3)  # noqa: S311 - jitter
        if self._given_up.wait(pause):
            raise Abandoned

    def _database_is_back(self) -> None:
        if self.away_since is not None:
            LOG.info("writing again", away_seconds=round((self._clock() - self.away_since).total_seconds()))
            self.away_since = None

    def _ensure_partitions(self, at: datetime) -> None:
        if self._partitioned != Month.of(at):
            ensure_partitions(self.store.engine, at)
            self._partitioned = Month.of(at)


def _sentence(error: Exception) -> str:
    origin = getattr(error, "orig", None) or error
    return (str(origin).strip().splitlines() or [type(error).__name__])[0]
