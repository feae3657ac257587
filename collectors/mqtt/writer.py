"""The writing thread: one commit at a time, retried until its outcome is known."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any

import structlog
from sqlalchemy.exc import DataError, SQLAlchemyError

from collectors.mqtt.buffer import Batch
from collectors.mqtt.claims import Clock
from collectors.mqtt.device_writer import DeviceWriter
from collectors.mqtt.state import CounterState
from collectors.mqtt.store import Store
from metering import backoff
from metering.catalogue.periods import Month
from metering.db.engine import error_line
from metering.errors import DatabaseUnavailable
from metering.ledger.partitions import ensure_partitions

LOG = structlog.get_logger("counter")
FIRST_PAUSE, MAX_PAUSE = 0.2, 15.0  # seconds between two attempts

HostClock = Callable[[], datetime]


class Abandoned(Exception):
    """The daemon stops and cannot wait for the database any longer."""


class Writer:
    """Runs tasks in order on its own thread; the reading thread collects their results.

    An exception of a task is raised by `collect`, so no error of this thread goes unnoticed.
    """

    def __init__(
        self,
        store: Store,
        clock: HostClock,
        tolerance: float,
        wake: Callable[[], None],
        top_devices: int = 0,
        state: CounterState | None = None,
    ) -> None:
        """Start the thread; `wake()` is called from it when a task has finished.

        `tolerance`: seconds by which `clock` may differ from the database's. `top_devices`: how many devices
        of a project's day are kept.
        """
        self.store = store
        self.devices = DeviceWriter(store.engine, top_devices)
        self.unsaved: Batch | None = None
        self._state = state or CounterState()
        self._away_since: float | None = None
        self._clock = clock
        self._tolerance = tolerance
        self._wake = wake
        self._flushes = 0
        self._written_at = store.claim.at
        self._partitioned: Month | None = None
        self._pending = 0
        self._finished: deque[tuple[Future[Any], Callable[[Any], None]]] = deque()
        self._stop = threading.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="writer")

    @property
    def busy(self) -> bool:
        """Return whether a task waits, runs, or is not collected."""
        return self._pending > 0

    def submit(self, task: Callable[[], Any], callback: Callable[[Any], None]) -> None:
        """Run `task` after the others; `collect` calls `callback(result)`."""
        self._pending += 1
        self._executor.submit(task).add_done_callback(partial(self._task_finished, callback))

    def collect(self) -> None:
        """Call back for finished tasks. Raises the exception of a task that failed."""
        while self._finished:
            future, callback = self._finished.popleft()
            self._pending -= 1
            callback(future.result())

    def close(self) -> None:
        """Stop, without the tasks that have not succeeded by now."""
        self._stop.set()
        self._executor.shutdown(cancel_futures=True)

    def now(self) -> Clock:
        """Return the host's time, which the store compares with the database's."""
        return Clock(self._clock(), self._tolerance)

    def flush(self, batch: Batch) -> None:
        """Commit `batch`, however long it takes. Raises Fenced, Abandoned."""
        self.unsaved = batch
        isolated = False
        for attempt in count(1):
            self._state.writer_turned_at = time.monotonic()
            self._flushes += 1
            flush = self._flushes
            try:
                self._ensure_partitions()
                self._written_at = self.store.commit(
                    batch.totals, batch.cut.last, flush, self.now(), isolated
                )
                break
            except DataError as error:  # nothing was committed; trying the same again would fail for ever
                if isolated:
                    self._pause(error, attempt)
                isolated = True
                continue
            except (DatabaseUnavailable, SQLAlchemyError) as error:
                self._pause(error, attempt)
            # If the answer is that another daemon took over, it stays unknown whether this was committed.
            self.unsaved = None
            if self._retry(partial(self.store.was_committed, flush)):
                break
            self.unsaved = batch
        self._log_recovery()
        self.unsaved = None
        self.devices.add(batch.totals, self._written_at)
        self.devices.step()

    def persist(self, operation: Callable[[], Any]) -> Any:
        """Return the result of `operation`, tried until the database answers. Raises Fenced, Abandoned."""
        result = self._retry(operation)
        self._log_recovery()
        return result

    def _retry(self, operation: Callable[[], Any]) -> Any:
        for attempt in count(1):
            self._state.writer_turned_at = time.monotonic()
            try:
                return operation()
            except (DatabaseUnavailable, SQLAlchemyError) as error:
                self._pause(error, attempt)

    def _task_finished(self, callback: Callable[[Any], None], future: "Future[Any]") -> None:
        if not self._stop.is_set():
            self._finished.append((future, callback))
            self._wake()

    def _pause(self, error: Exception, attempt: int) -> None:
        self._state.writing_fails = True
        if self._away_since is None:
            self._away_since = time.monotonic()
            LOG.warning("writing.paused", reason=error_line(error))
        if self._stop.wait(backoff.seconds(attempt, FIRST_PAUSE, MAX_PAUSE)):
            raise Abandoned

    def _log_recovery(self) -> None:
        self._state.writing_fails = False
        if self._away_since is not None:
            LOG.info("writing.resumed", away_seconds=round(time.monotonic() - self._away_since))
            self._away_since = None

    def _ensure_partitions(self) -> None:
        """Make the partitions of the month last written in, and of the next one."""
        if self._partitioned != Month.of(self._written_at):
            ensure_partitions(self.store.engine, self._written_at)
            self._partitioned = Month.of(self._written_at)
