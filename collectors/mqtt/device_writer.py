"""Write the figures of the busiest devices, at most once a minute and in small transactions of their own.

They are not worth the exactness of the ledger: what cannot be written is logged and given up, never tried
twice, so that no device has more than it sent.
"""

import time
from datetime import date, datetime

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from collectors.mqtt.devices import BusiestDevices
from collectors.mqtt.totals import Totals
from metering.db.engine import error_line
from metering.db.transactions import transaction
from metering.errors import DatabaseUnavailable
from metering.ledger import devices

LOG = structlog.get_logger("counter")
INTERVAL = 60.0  # seconds between the beginnings of two writings
CHUNK = 2_000  # devices in one transaction, so that a commit of counts waits a moment only


class DeviceWriter:
    """Belongs to the writing thread; `limit` devices of each project and day are kept, 0 for none."""

    def __init__(self, engine: Engine, limit: int) -> None:
        self._engine = engine
        self._limit = limit
        self._busiest = BusiestDevices(limit)
        self._next = 0.0  # monotonic seconds
        self._writing = False
        self._today = date.min

    def add(self, totals: Totals, at: datetime) -> None:
        """Add the counts of a batch that was committed at `at`."""
        self._today = at.date()
        self._busiest.add(totals.projects, self._today)

    def step(self) -> None:
        """Write the next part, if a minute has passed since the last writing began."""
        if not self._limit:
            return
        now = time.monotonic()
        if not self._writing and now >= self._next:
            self._writing, self._next = self._busiest.begin(), now + INTERVAL
        if self._writing:
            self._write()

    def finish(self) -> None:
        """Write everything, before the daemon leaves."""
        self._writing = self._busiest.begin()
        while self._writing:
            self._write()

    def _write(self) -> None:
        rows = self._busiest.take(CHUNK)
        if not rows:
            self._writing = False
            self._busiest.forget_before(self._today)
            return
        try:
            with transaction(self._engine) as connection:
                devices.add(connection, rows, self._limit)
        except (DatabaseUnavailable, SQLAlchemyError) as error:
            LOG.warning("device_figures.lost", devices=len(rows), reason=error_line(error))
