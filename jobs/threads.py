"""Threads that a process cannot do without: an exception of one ends it, so that it is started again.

A runner whose heartbeat or worker had ended would look alive and do nothing.
"""

import math
import threading
import time
from collections.abc import Callable

import structlog

from metering.db.engine import describe_error

PATIENCE = 15.0  # seconds that the other threads get to finish their work

LOG = structlog.get_logger("runner")


class Threads:
    """Threads that work until `stop` is set; one that raises sets it."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._awaited: list[threading.Thread] = []
        self._error: BaseException | None = None
        self._until = math.inf  # monotonic seconds

    def start(self, name: str, work: Callable[..., object], *arguments: object, awaited: bool = True) -> None:
        """Call `work` on a thread; the process waits for it at its end only if it is `awaited`."""
        thread = threading.Thread(target=self._work, args=(work, arguments), name=name, daemon=True)
        if awaited:
            self._awaited.append(thread)
        thread.start()

    def join(self) -> None:
        """Wait until the threads have ended. Raises the exception that ended one of them."""
        for thread in self._awaited:
            while thread.is_alive() and time.monotonic() < self._until:
                thread.join(1)
        if self._error is not None:
            raise self._error

    def _work(self, work: Callable[..., object], arguments: tuple[object, ...]) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            name = threading.current_thread().name
            LOG.critical("thread.failed", thread=name, reason=describe_error(error), exc_info=error)
            self._error = self._error or error
            self._until = time.monotonic() + PATIENCE
            self._stop.set()
