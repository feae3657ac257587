"""The counter daemon: claim the session, count, stand by while another daemon counts.

`run` returns 0 after a clean stop, and 1 if it had to stop without the database. A daemon that another one
replaces stands by: it takes over again when its successor has left or is gone.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from collectors.mqtt import admission, claims, client_ids, endpoint
from collectors.mqtt.admission import Admission
from collectors.mqtt.claims import Claim, Clock
from collectors.mqtt.counting import STOPPED, Counting
from collectors.mqtt.endpoint import Endpoint
from collectors.mqtt.state import CounterState
from collectors.mqtt.store import Store
from collectors.mqtt.writer import HostClock
from metering import backoff
from metering.config.settings import Settings
from metering.db.engine import error_line
from metering.db.transactions import transaction
from metering.errors import DatabaseUnavailable, SettingsError
from metering.probes.server import serving

LOG = structlog.get_logger("counter")

FIRST_PAUSE, MAX_PAUSE = 0.2, 15.0  # seconds between two attempts to reach broker or database
STANDBY_POLL = 5.0  # seconds between two looks at the owner of the session
OWNER_GONE = 30.0  # seconds without a sign that the owner is connected
AWS_CONNECT_PAUSE = 1.1  # seconds: AWS IoT Core takes one CONNECT a second of each client id

T = TypeVar("T")


def _now() -> datetime:
    return datetime.now(UTC)


def run(
    settings: Settings,
    engine: Engine,
    stop: threading.Event,
    *,
    plain: bool = False,
    clock: HostClock = _now,
) -> int:
    """Count until `stop` is set; return the exit code. `plain`: paho reads and decodes.

    Waits for an absent broker or database. Raises SettingsError if MQTT_URL is missing or its certificates
    cannot be read.
    """
    if settings.mqtt_url is None:
        raise SettingsError("MQTT_URL is not set; it takes mqtt://user:password@host:1883")
    try:
        broker = endpoint.from_settings(settings)
        counting_broker = endpoint.from_settings(settings, gathering=not plain)
    except OSError as error:
        raise SettingsError(f"MQTT_CA_FILE, MQTT_CERT_FILE, MQTT_KEY_FILE: {error}") from error
    daemon = Daemon(settings, broker, counting_broker, engine, plain, clock)
    with serving(daemon.state, settings, settings.counter_metrics_port):
        while not stop.is_set():
            code = daemon.run_once(stop)
            if code is not None:
                return code
    return STOPPED


class Daemon:
    """One process that counts whenever it owns the session."""

    def __init__(
        self,
        settings: Settings,
        broker: Endpoint,
        counting_broker: Endpoint,
        engine: Engine,
        plain: bool,
        clock: HostClock,
    ) -> None:
        """Keep two endpoints of one broker; TLS of `counting_broker` suits the reader that counts."""
        self._settings = settings
        self._broker = broker
        self._counting_broker = counting_broker
        self._engine = engine
        self._plain = plain
        self._clock = clock
        self.state = CounterState()

    def run_once(self, stop: threading.Event) -> int | None:
        """Connect, claim, count; return the exit code, None if another daemon took over meanwhile."""
        client_id = self._retry(self._client_id, stop)
        if client_id is None:
            return STOPPED
        broker = replace(self._broker, client_id=client_id)
        answer = self._await_admission(broker, stop)
        if answer is None or answer.session_present is None:
            return STOPPED
        claim = self._claim(broker, answer.session_present, stop)
        if claim is None:
            return STOPPED
        if broker.approximate:
            stop.wait(AWS_CONNECT_PAUSE)
        broker = replace(self._counting_broker, client_id=client_id)
        store = Store(self._engine, claim)
        counting = Counting(self._settings, broker, store, self._plain, self._clock, answer.v5, self.state)
        code = counting.run(stop)
        if code is None:
            self._stand_by(claim, stop)
        return code

    def _client_id(self) -> str:
        with transaction(self._engine) as connection:
            return client_ids.resolve(connection, self._settings)

    def _await_admission(self, broker: Endpoint, stop: threading.Event) -> Admission | None:
        attempt = 1
        while not stop.is_set():
            self.state.turn()
            answer = admission.ask(broker, stop)
            if answer.session_present is not None:
                return answer
            if not stop.is_set():
                LOG.warning("broker.disconnected", broker=broker.name, reason=answer.reason)
                stop.wait(backoff.seconds(attempt, FIRST_PAUSE, MAX_PAUSE))
            attempt += 1
        return None

    def _claim(self, broker: Endpoint, session_present: bool, stop: threading.Event) -> Claim | None:
        clock = Clock(self._clock(), self._settings.clock_tolerance)
        group = self._settings.mqtt_shared_group
        claimed = self._retry(lambda: claims.claim(self._engine, broker, group, session_present, clock), stop)
        if claimed is None:
            return None
        claim, lost = claimed
        if lost:
            self.state.gaps += 1
            LOG.error("session.lost", client_id=broker.client_id)
        return claim

    def _stand_by(self, former: Claim, stop: threading.Event) -> None:
        """Wait until the daemon that took over has left, or has not been connected for a while."""
        self.state.end_counting("standing by while another daemon counts")
        LOG.info("standby.started", client_id=former.client_id)
        last_seen, changed_at = None, time.monotonic()
        while not stop.wait(STANDBY_POLL):
            owner = self._retry(lambda: claims.owner(self._engine, former.client_id), stop)
            if owner is None or owner.has_left or self._retry(self._client_id, stop) != former.client_id:
                return
            # Compared with itself, not with a clock: the owner's host may have another time.
            if owner.last_seen_at != last_seen:
                last_seen, changed_at = owner.last_seen_at, time.monotonic()
            elif time.monotonic() - changed_at > OWNER_GONE:
                LOG.warning("standby.ended", client_id=former.client_id)
                return

    def _retry(self, operation: Callable[[], T], stop: threading.Event) -> T | None:
        """Return the result of `operation`, tried until the database answers; None once stopped."""
        attempt = 1
        while not stop.is_set():
            self.state.turn()
            try:
                return operation()
            except (DatabaseUnavailable, SQLAlchemyError) as error:
                LOG.warning("database.failed", reason=error_line(error))
                stop.wait(backoff.seconds(attempt, FIRST_PAUSE, MAX_PAUSE))
                attempt += 1
        return None
