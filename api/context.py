"""The context that every request of one server shares: settings, engine, plans on offer."""

import threading
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import anyio
from sqlalchemy import Engine, event
from starlette.requests import HTTPConnection

from api.rate import RateLimiter
from api.uses import Uses
from metering.catalogue import own_meters
from metering.catalogue.own_meters import OwnMeter
from metering.config.settings import Settings
from metering.db import scope as row_security
from metering.db.engine import open_engine
from metering.db.transactions import transaction
from metering.pricing import plans
from metering.pricing.plans import Plans

EXPORTS = 2  # files that are written at the same time
TIMEOUT = "15s"  # of each statement that reads for an answer


class Context:
    """The settings of one server and what follows from them; the engine connects at the first request."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.rate = RateLimiter(settings.api_requests_per_minute)
        self.uses = Uses()
        self.exports = anyio.CapacityLimiter(EXPORTS)
        self._plans: tuple[Any, Plans] | None = None
        self._meters: tuple[Any, dict[str, OwnMeter]] | None = None
        self._declaring = threading.Lock()

    @cached_property
    def engine(self) -> Engine:
        """Return the engine; a transaction sees no row before it has a caller. Raises SettingsError."""
        # Not pinged: that is a round trip for each request. `access` asks again where a connection has died.
        opened = open_engine(self.settings, "fleetmeter api", ping=False)
        row_security.require_limit(opened)
        event.listen(opened, "connect", _set_timeout)
        return opened

    @property
    def plans(self) -> Plans:
        """Return the plans on offer; the file is read again when it has changed. Raises PlanError."""
        version = _version(self.settings.plans)
        if self._plans is None or self._plans[0] != version:
            self._plans = version, plans.load(self.settings.plans)
        return self._plans[1]

    @property
    def own_meters(self) -> dict[str, OwnMeter]:
        """Return the declared meters; the file is read again when it has changed. Raises SettingsError."""
        version = _version(self.settings.meters)
        with self._declaring:
            if self._meters is None or self._meters[0] != version:
                declared = own_meters.load(self.settings.meters)
                with transaction(self.engine) as connection:
                    row_security.limit(connection, None)
                    own_meters.declare(connection, declared, self.now())
                self._meters = version, declared
            return self._meters[1]

    def now(self) -> datetime:
        """Return the host's time, UTC."""
        return datetime.now(UTC)


def _set_timeout(connection: Any, _record: Any) -> None:
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = '{TIMEOUT}'")
    connection.autocommit = False


def _version(path: Path | None) -> tuple[int, int] | None:
    if path is None or not path.exists():
        return None
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def of(request: HTTPConnection) -> Context:
    """Return the context of the server that answers `request`."""
    context: Context = request.app.state.context
    return context
