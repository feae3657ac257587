"""The writing thread: one commit at a time, retried until its outcome is known."""

import random
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from collectors.mqtt.buffer import Batch
from collectors.mqtt.store import Store
from metering.catalogue.periods import Month
from metering.errors import DatabaseUnavailable
from metering.ledger.partitions import ensure_partitions

LOG = structlog.get_logger("counter")
MAX_PAUSE = 15.0  # seconds between two attempts

Clock = Callable[[], datetime]


class Abandoned(Exception):
    """The daemon stops and cannot wait for the database any longer."""


class Writer:
    """Runs tasks in order on its own thread; the reading thread collects their results.

    An exception of a task is raised by `collect`, so no error of this thread goes unnoticed.
    """

    def __init__(self, store: Store, clock: Clock, wake: Callable[[], None]) -> None:
        """Start the thread; `wake()` is called from it when a task has finished."""
        self.store = store
        self.unsaved: Batch | None = None
        self._away_since: datetime | None = None
        self._clock = clock
        self._wake = wake
        self._last_instant = datetime.min.replace(tzinfo=clock().tzinfo)
        self._partitioned: Month | None = None
        self._pending = 0
        self._finished: deque[tuple[Future[Any], Callable[[Any], None]]] = deque()
        self._stop = threading.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="writer")

    @property
    def busy(self) -> bool:
        """True while a task waits, runs, or has not been collected."""
        return self._pending > 0

    def submit(self, task: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Run `task` after the others; `collect` calls `done(result)`."""
        self._pending += 1
        self._executor.submit(task).add_done_callback(partial(self._task_finished, done))

    def collect(self) -> None:
        """Call back for finished tasks. Raises the exception of a task that failed."""
        while self._finished:
            future, done = self._finished.popleft()
            self._pending -= 1
            done(future.result())

    def close(self) -> None:
        """Stop, without the tasks that have not succeeded by now."""
        self._stop.set()
        self._executor.shutdown(cancel_futures=True)

    def instant(self) -> datetime:
        """Return the clock's time, but later than ever before: a flush is identified by it."""
        at = max(self._clock(), self._last_instant + timedelta(microseconds=1))
        self._last_instant = at
        return at

    def flush(self, batch: Batch) -> datetime:
        """Commit `batch`, however long it takes; returns its instant. Raises Fenced, Abandoned."""
        self.unsaved = batch
        for attempt in count():
            at = self.instant()
            try:
                self._ensure_partitions(at)
                self.store.commit(batch.totals, batch.cut.last, at)
                break
            except (DatabaseUnavailable, SQLAlchemyError) as error:
                self._pause(error, attempt)
            # If the answer is that another daemon took over, it stays unknown whether this was committed.
            self.unsaved = None
            if self._retry(partial(self.store.was_committed, at)):
                break
            self.unsaved = batch
        self._log_recovery()
        self.unsaved = None
        return at

    def persist(self, operation: Callable[[], Any]) -> Any:
        """Return the result of `operation`, tried until the database answers. Raises Fenced, Abandoned."""
        result = self._retry(operation)
        self._log_recovery()
        return result

    def _retry(self, operation: Callable[[], Any]) -> Any:
        for attempt in count():
            try:
                return operation()
            except (DatabaseUnavailable, SQLAlchemyError) as error:
                self._pause(error, attempt)

    def _task_finished(self, done: Callable[[Any], None], future: "Future[Any]") -> None:
        if not self._stop.is_set():
            self._finished.append((future, done))
            self._wake()

    def _pause(self, error: Exception, attempt: int) -> None:
        if self._away_since is None:
            self._away_since = self._clock()
            LOG.warning("cannot write; counting goes on in memory", reason=_first_line(error))
        pause = min(MAX_PAUSE, 0.2 * 2.0 ** min(attempt, 10)) * random.uniform(0.7, 1.3)  # noqa: S311 - jitter
        if self._stop.wait(pause):
            raise Abandoned

    def _log_recovery(self) -> None:
        if self._away_since is not None:
            seconds = (self._clock() - self._away_since).total_seconds()
            LOG.info("writing again", away_seconds=round(seconds))
            self._away_since = None

    def _ensure_partitions(self, at: datetime) -> None:
        if self._partitioned != Month.of(at):
            ensure_partitions(self.store.engine, at)
            self._partitioned = Month.of(at)


def _first_line(error: Exception) -> str:
    origin = getattr(error, "orig", None) or error
    return (str(origin).strip().splitlines() or [type(error).__name__])[0]
