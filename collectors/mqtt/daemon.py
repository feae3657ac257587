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
LONGEST_PAUSE = 15.0  # seconds between two attempts to reach broker or database
ANSWER_WITHIN = 10.0  # seconds that the broker gets to answer CONNECT
GRACE = 10.0  # seconds that a stop waits for the database
PROOF = 1.0  # seconds that a stop waits for the broker to confirm the acknowledgements


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
        broker = endpoint.of(settings, gathering=not plain)
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
    return min(LONGEST_PAUSE, 0.2 * 2.0 ** min(attempt, 10)) * random.uniform(0.7, 1.3)  # noqa: S311


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
        self._inbox = Buffer(Topics(root, settings.mqtt_outbound_levels), self._session)
        self._pump = Loop(self._inbox, store, clock)
        self._blind_since: datetime | None = None

    def run(self, stop: threading.Event) -> int:
        """Count until `stop` or fenced; returns the exit code."""
        LOG.info("counter starts", broker=self._broker.name, subscribes=self._filter, decoder=DECODER)
        try:
            self._keep_connected(stop)
            return self._finish()
        except Fenced as error:
            LOG.error(str(error))
            self._save_qos0()
            return FENCED
        finally:
            self._pump.close()

    def _keep_connected(self, stop: threading.Event) -> None:
        attempt, v5 = 0, True
        while not stop.is_set():
            self._require_own(stop)
            link = BrokerConnection(self._broker, v5, self._accepted, self._session.proven)
            self._serve(link, stop)
            if stop.is_set():
                return
            LOG.warning("not connected; trying again", broker=self._broker.name, reason=link.failure)
            attempt = 0 if link.accepted is not None else attempt + 1
            v5 = not (v5 and link.wants_older)
            self._until(stop.is_set, _pause(attempt))

    def _require_own(self, stop: threading.Event) -> None:
        """Before every connect: a fenced daemon must not take the client id back."""
        owned: list[None] = []
        writer = self._pump.writer
        writer.submit(lambda: writer.persist(self._store.require_own), owned.append)
        while not owned and not stop.is_set():
            self._pump.step()

    def _serve(self, link: BrokerConnection, stop: threading.Event) -> None:
        self._pump.attach(link, self._reader(link, self._inbox))
        answer_by = time.monotonic() + ANSWER_WITHIN
        while link.alive and not stop.is_set():
            self._pump.step()
            if link.accepted is None and time.monotonic() > answer_by:
                link.lost("the broker does not answer")
        if link.accepted is not None and not stop.is_set():
            self._blind_since = self._clock()

    def _accepted(self, kept: bool) -> None:
        """Called between the broker's answer and its first message."""
        self._inbox.accepted(kept)
        self._pump.pace.connected()
        writer, store = self._pump.writer, self._store
        link, at, since = self._pump.link, writer.instant(), self._blind_since
        writer.submit(
            lambda: writer.persist(lambda: store.accepted(kept, since, at)),
            lambda gap: self._recorded(link, kept, gap),
        )

    def _recorded(self, link: BrokerConnection | None, kept: bool, gap: bool) -> None:
        """Only now may messages of a new session come: that it is new is committed."""
        LOG.info("connected", broker=self._broker.name, session="kept" if kept else "new")
        if gap:
            LOG.error("the broker lost the session; the gap is recorded and blocks the month's close")
        self._blind_since = None
        if link and link.alive:
            link.subscribe(self._filter)

    def _until(self, done: Callable[[], bool], seconds: float, reading: bool = True) -> None:
        until = time.monotonic() + seconds
        while not done() and time.monotonic() < until:
            self._pump.step(reading)

    def _finish(self) -> int:
        """Commit what was received, wait for its proof, say goodbye."""
        pump, session, link = self._pump, self._session, self._pump.link
        pump.cut()
        if link and link.alive:
            self._until(lambda: pump.settled and not session.unproven, PROOF)
            pump.cut()
        self._until(lambda: pump.settled, GRACE, reading=False)
        if not pump.settled:
            LOG.error("stopped without the database; messages at QoS 0 since then are lost")
            return UNSAVED
        self._store.leave()
        LOG.info("counter stopped; everything received is counted")
        return STOPPED

    def _save_qos0(self) -> None:
        """Nobody gets these again; what came at QoS 1 goes to the daemon that took over."""
        unsaved = self._pump.writer.unsaved
        tally = merge([self._inbox.leftover(), *([unsaved.tally] if unsaved else [])]).qos0()
        try:
            self._store.commit_fenced(tally, self._pump.writer.instant())
        except (DatabaseUnavailable, SQLAlchemyError) as error:
            LOG.error("messages at QoS 0 are lost", messages=tally.messages, reason=str(error))
