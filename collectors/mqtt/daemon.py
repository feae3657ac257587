"""The counter daemon: `run` keeps a connection to the broker until it is told to stop.

It returns 0 after a clean stop, 1 when it had to stop without the database, and 3 when another
daemon has taken over the client id: a service manager must not restart that one (systemd:
`RestartPreventExitStatus=3`).
"""

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from collectors.mqtt import endpoint
from collectors.mqtt import store as stores
from collectors.mqtt.buffer import Buffer
from collectors.mqtt.connection import BrokerConnection
from collectors.mqtt.counters import merge
from collectors.mqtt.endpoint import Endpoint
from collectors.mqtt.loop import Loop
from collectors.mqtt.reader import DECODER, FastReader, PlainReader
from collectors.mqtt.session import Session
from collectors.mqtt.store import Claim, Fenced, Store
from collectors.mqtt.topics import Topics
from collectors.mqtt.writer import Clock
from metering.config.settings import Settings
from metering.errors import DatabaseUnavailable, SettingsError

LOG = structlog.get_logger("counter")

STOPPED, UNSAVED, FENCED = 0, 1, 3
MAX_PAUSE = 15.0  # seconds between two attempts to reach broker or database
CONNECT_TIMEOUT = 10.0  # seconds that the broker gets to answer CONNECT
STOP_TIMEOUT = 10.0  # seconds that a stop waits for the database
CONFIRM_TIMEOUT = 1.0  # seconds that a stop waits for the broker to confirm the acknowledgements


def _now() -> datetime:
    return datetime.now(UTC)


def run(
    settings: Settings,
    engine: Engine,
    stop: threading.Event,
    *,
    plain: bool = False,
    clock: Clock = _now,
) -> int:
    """Count until `stop` is set; returns the exit code. `plain` has paho read and decode.

    Waits for an absent broker or database. Raises SettingsError when MQTT_URL is missing or its
    certificates cannot be read.
    """
    if settings.mqtt_url is None:
        raise SettingsError("MQTT_URL is not set; it takes mqtt://user:password@host:1883")
    try:
        broker = endpoint.from_settings(settings, gathering=not plain)
    except OSError as error:
        raise SettingsError(f"MQTT_CA_FILE, MQTT_CERT_FILE, MQTT_KEY_FILE: {error}") from error
    claim = _claim(engine, broker, stop)
    if claim is None:
        return STOPPED
    return Daemon(settings, broker, Store(engine, claim), plain, clock).run(stop)


def _claim(engine: Engine, broker: Endpoint, stop: threading.Event) -> Claim | None:
    attempt = 0
    while not stop.is_set():
        try:
            return stores.claim(engine, broker.client_id, broker.name)
        except (DatabaseUnavailable, SQLAlchemyError) as error:
            LOG.warning("waiting for the database", reason=str(error).splitlines()[0])
            stop.wait(_pause(attempt))
            attempt += 1
    return None


def _pause(attempt: int) -> float:
    """Seconds before the next attempt; the jitter keeps daemons from coming back all at once."""
    return min(MAX_PAUSE, 0.2 * 2.0 ** min(attempt, 10)) * random.uniform(0.7, 1.3)  # noqa: S311


class Daemon:
    """One daemon, on the calling thread, its writer beside it."""

    def __init__(self, settings: Settings, broker: Endpoint, store: Store, plain: bool, clock: Clock) -> None:
        group, root = settings.mqtt_shared_group, settings.mqtt_topic_root
        self._filter = f"$share/{group}/{root}/#" if group else f"{root}/#"
        self._broker = broker
        self._store = store
        self._reader = PlainReader if plain else FastReader
        self._clock = clock
        self._session = Session(store.claim.last_packet_id)
        self._buffer = Buffer(Topics(root, settings.mqtt_outbound_levels), self._session)
        self._loop = Loop(self._buffer, store, clock)
        self._blind_since: datetime | None = None

    def run(self, stop: threading.Event) -> int:
        """Count until `stop` is set or another daemon takes over; returns the exit code."""
        LOG.info("counter starts", broker=self._broker.name, subscribes=self._filter, decoder=DECODER)
        try:
            self._keep_connected(stop)
            return self._finish()
        except Fenced as error:
            LOG.error(str(error))
            self._save_qos0()
            return FENCED
        except Exception as error:
            LOG.critical("counter ends", reason=f"{type(error).__name__}: {error}")
            raise
        finally:
            self._loop.close()

    def _keep_connected(self, stop: threading.Event) -> None:
        attempt, v5 = 0, True
        while not stop.is_set():
            self._require_own(stop)
            connection = BrokerConnection(self._broker, v5, self._on_connected, self._session.confirmed)
            self._serve(connection, stop)
            if stop.is_set():
                return
            LOG.warning("not connected; trying again", broker=self._broker.name, reason=connection.failure)
            attempt = 0 if connection.session_present is not None else attempt + 1
            v5 = not (v5 and connection.retry_with_v311)
            self._until(stop.is_set, _pause(attempt))

    def _require_own(self, stop: threading.Event) -> None:
        """Check the epoch before every connect: a fenced daemon must not take the client id back."""
        answers: list[None] = []
        writer = self._loop.writer
        writer.submit(lambda: writer.persist(self._store.require_own), answers.append)
        while not answers and not stop.is_set():
            self._loop.step()

    def _serve(self, connection: BrokerConnection, stop: threading.Event) -> None:
        self._loop.attach(connection, self._reader(connection, self._buffer))
        answer_by = time.monotonic() + CONNECT_TIMEOUT
        while connection.alive and not stop.is_set():
            self._loop.step()
            if connection.session_present is None and time.monotonic() > answer_by:
                connection.fail("the broker does not answer")
        if connection.session_present is not None and not stop.is_set():
            self._blind_since = self._clock()

    def _on_connected(self, session_present: bool) -> None:
        """Record the broker's answer, before its first message."""
        self._buffer.connected(session_present)
        self._loop.flush_policy.connected()
        writer, store = self._loop.writer, self._store
        connection, at, since = self._loop.connection, writer.instant(), self._blind_since
        writer.submit(
            lambda: writer.persist(lambda: store.record_connection(session_present, since, at)),
            lambda gap: self._connection_recorded(connection, session_present, gap),
        )

    def _connection_recorded(
        self, connection: BrokerConnection | None, session_present: bool, gap: bool
    ) -> None:
        """Subscribe: messages of a new session may come once its start is committed."""
        LOG.info("connected", broker=self._broker.name, session="present" if session_present else "new")
        if gap:
            LOG.error("the broker lost the session; the gap is recorded and blocks the month's close")
        self._blind_since = None
        if connection and connection.alive:
            connection.subscribe(self._filter)

    def _until(self, done: Callable[[], bool], seconds: float, reading: bool = True) -> None:
        until = time.monotonic() + seconds
        while not done() and time.monotonic() < until:
            self._loop.step(reading)

    def _finish(self) -> int:
        """Commit what was received, wait for the broker's confirmation, leave."""
        loop, session, connection = self._loop, self._session, self._loop.connection
        loop.cut()
        if connection and connection.alive:
            self._until(lambda: loop.idle and not session.unconfirmed, CONFIRM_TIMEOUT)
            loop.cut()
        self._until(lambda: loop.idle, STOP_TIMEOUT, reading=False)
        if not loop.idle:
            LOG.error("stopped without the database; messages at QoS 0 since then are lost")
            return UNSAVED
        self._store.release()
        LOG.info("counter stopped; everything received is counted")
        return STOPPED

    def _save_qos0(self) -> None:
        """Save the counts at QoS 0; messages at QoS 1 go to the daemon that took over."""
        unsaved = self._loop.writer.unsaved
        batches = [unsaved.totals] if unsaved else []
        totals = merge([self._buffer.uncommitted(), *batches]).qos0()
        try:
            self._store.commit_fenced(totals, self._loop.writer.instant())
        except (DatabaseUnavailable, SQLAlchemyError) as error:
            LOG.error("messages at QoS 0 are lost", messages=totals.messages, reason=str(error))
