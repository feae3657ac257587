"""Renew a run's lease in a thread while the job works, and store its progress."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from metering.db.engine import describe_error
from metering.db.transactions import transaction
from metering.errors import FleetmeterError
from metering.runs import lease
from metering.runs.lease import LeaseLost, Run

RENEW = 5.0  # seconds between two heartbeats
LOOK = 0.5  # seconds after which new progress is stored

LOG = structlog.get_logger("runs")

Advance = Callable[[str, int, int], None]  # what is being done, how many are done, how many in all


class ShutdownRequested(Exception):
    """Raised between two chunks when the process was told to stop."""


class Heartbeat:
    """A context in which the run's lease is renewed.

    `advance` is called by the job between two chunks. It raises LeaseLost once the run has another
    worker or was cancelled, and ShutdownRequested once `leave` is set. An error that nobody foresaw is raised
    by it and at the end of the context: a run whose lease is not renewed must not go on.
    """

    def __init__(
        self, engine: Engine, run: Run, report: Advance | None, leave: threading.Event | None
    ) -> None:
        self._engine, self._run = engine, run
        self._report, self._leave = report, leave
        self._progress: dict[str, Any] = {}
        self._stop, self._lost = threading.Event(), threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._watched, name=f"lease of run {run.id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None and self._error is not error:
            raise self._error

    @property
    def renewing(self) -> bool:
        """Return whether the lease is still renewed."""
        return self._thread.is_alive()

    def advance(self, what: str, completed: int, total: int) -> None:
        """Note progress for the next heartbeat: `completed` of `total`."""
        self._progress.update(what=what, done=completed, total=total)
        if self._report:
            self._report(what, completed, total)
        if self._error is not None:
            raise self._error
        if self._lost.is_set():
            raise LeaseLost(f"run {self._run.id} was cancelled or taken over")
        if self._leave is not None and self._leave.is_set():
            raise ShutdownRequested

    def _watched(self) -> None:
        try:
            self._renew()
        except Exception as error:
            self._error = error
            reason = describe_error(error)
            LOG.critical("thread.failed", thread=self._thread.name, reason=reason, exc_info=error)

    def _renew(self) -> None:
        stored: dict[str, Any] = {}
        renewed_at = time.monotonic()
        while not self._stop.wait(LOOK):
            progress = dict(self._progress)
            if progress == stored and time.monotonic() - renewed_at < RENEW:
                continue
            try:
                with transaction(self._engine) as connection:
                    lease.heartbeat(connection, self._run, progress or None)
                stored, renewed_at = progress, time.monotonic()
            except LeaseLost:
                self._lost.set()
                return
            except (FleetmeterError, DBAPIError):
                continue
