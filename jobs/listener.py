"""Wait for a request: PostgreSQL's NOTIFY wakes the runner, so that a request starts at once."""

import select
import threading
import time
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from metering.errors import FleetmeterError
from metering.runs.requests import CHANNEL

TICK = 0.25  # seconds between two looks at `stop`


class Listener:
    """A connection that listens. While the database is away it only waits, and listens again later."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.connection: Connection | None = None

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Wait until a run is requested, `seconds` have passed, or `stop` is set."""
        fresh = self.connection is None
        driver = self._listening()
        if fresh and driver is not None:
            return  # requests made before it listened sent nothing: look once more
        end = time.monotonic() + seconds
        while driver is not None and not stop.is_set() and time.monotonic() < end:
            if self._notified(driver):
                return
        if driver is None:
            stop.wait(min(seconds, 1))

    def close(self) -> None:
        """Stop listening."""
        if self.connection is not None:
            self.connection.invalidate()  # a pooled connection would go on listening
            self.connection.close()
        self.connection = None

    def _listening(self) -> Any:
        try:
            if self.connection is None:
                self.connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                self.connection.exec_driver_sql(f"LISTEN {CHANNEL}")
            return self.connection.connection.driver_connection
        except (FleetmeterError, DBAPIError):
            self.close()
            return None

    def _notified(self, driver: Any) -> bool:
        """Return whether a run was requested, or the connection is lost."""
        try:
            if not select.select([driver], [], [], TICK)[0]:
                return False
            driver.poll()
            driver.notifies.clear()
        except (driver.Error, OSError):
            self.close()
        return True
