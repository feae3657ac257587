"""Count under one claim of the session: keep a connection to the broker until stopped or replaced."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from collectors.mqtt.buffer import Buffer
from collectors.mqtt.claims import Fenced
from collectors.mqtt.connection import BrokerConnection
from collectors.mqtt.endpoint import Endpoint
from collectors.mqtt.loop import Loop
from collectors.mqtt.reader import DECODER, FastReader, PlainReader
from collectors.mqtt.session import Session
from collectors.mqtt.state import CounterState
from collectors.mqtt.store import Store
from collectors.mqtt.takeover import TakeoverDetector
from collectors.mqtt.topics import Topics
from collectors.mqtt.totals import merge
from collectors.mqtt.writer import HostClock
from metering import backoff
from metering.config.settings import Settings
from metering.errors import DatabaseUnavailable

LOG = structlog.get_logger("counter")

STOPPED, UNSAVED = 0, 1
FIRST_PAUSE, MAX_PAUSE = 0.2, 15.0  # seconds between two attempts to reach the broker
CONNECT_TIMEOUT = 10.0  # seconds that the broker gets to answer CONNECT
STOP_TIMEOUT = 10.0  # seconds that a stop waits for the database
CONFIRM_TIMEOUT = 1.0  # seconds that a stop waits for the broker to confirm the acknowledgements


class Counting:
    """Reads on the calling thread, writes on another."""

    def __init__(
        self,
        settings: Settings,
        broker: Endpoint,
        store: Store,
        plain: bool,
        clock: HostClock,
        v5: bool,
        state: CounterState,
    ) -> None:
        group, root = settings.mqtt_shared_group, settings.mqtt_topic_root
        self._filter = f"$share/{group}/{root}/#" if group else f"{root}/#"
        self._broker = broker
        self._store = store
        self._reader = PlainReader if plain else FastReader
        self._v5 = v5
        self._state = state
        self._session = Session(store.claim.last_packet_id)
        top_devices = settings.top_devices
        self._buffer = Buffer(Topics(root, settings.mqtt_outbound_levels), self._session, top_devices)
        self._loop = Loop(self._buffer, store, clock, settings.clock_tolerance, top_devices, state)
        self._takeover = TakeoverDetector()
        self._takeover_recorded = False
        self._lost_at: float | None = None  # monotonic seconds

    def run(self, stop: threading.Event) -> int | None:
        """Count until `stop` is set; return the exit code, None if another daemon took over."""
        LOG.info(
            "counter.started",
            broker=self._broker.name,
            client_id=self._broker.client_id,
            subscribes=self._filter,
            decoder=DECODER,
        )
        self._state.begin_counting()
        try:
            self._keep_connected(stop)
            return self._finish()
        except Fenced as error:
            LOG.warning("counter.replaced", client_id=self._broker.client_id, reason=str(error))
            self._save_qos0()
            return None
        except Exception as error:
            LOG.critical("counter.failed", reason=f"{type(error).__name__}: {error}")
            raise
        finally:
            self._state.end_counting("stopped, or another daemon counts")
            self._loop.close()

    def _keep_connected(self, stop: threading.Event) -> None:
        attempt, v5 = 1, self._v5
        while not stop.is_set():
            self._require_own(stop)
            connection = BrokerConnection(self._broker, v5, self._on_connected, self._session.confirmed)
            self._serve(connection, stop)
            if stop.is_set():
                return
            LOG.warning("broker.disconnected", broker=self._broker.name, reason=connection.failure)
            attempt = 1 if connection.session_present is not None else attempt + 1
            v5 = not (v5 and connection.retry_with_v311)
            self._until(stop.is_set, backoff.seconds(attempt, FIRST_PAUSE, MAX_PAUSE))

    def _require_own(self, stop: threading.Event) -> None:
        """Check the epoch before every connect: a replaced daemon must not take the client id back."""
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
            self._end_takeover_if_calm(connection)
        if connection.session_present is not None and not stop.is_set():
            self._connection_ended(connection)

    def _connection_ended(self, connection: BrokerConnection) -> None:
        self._lost_at = now = time.monotonic()
        self._takeover.connection_ended(connection.connected_at, now, connection.ended_by_broker)
        if self._takeover.detected and not self._takeover_recorded:
            self._takeover_recorded = True
            self._state.gaps += 1
            since = timedelta(seconds=now - (self._takeover.since or now))
            LOG.critical("client_id.shared", client_id=self._broker.client_id)
            self._write(lambda: self._store.open_takeover_gap(since, self._loop.writer.now()))

    def _end_takeover_if_calm(self, connection: BrokerConnection) -> None:
        if connection.session_present is not None and self._takeover.is_calm(
            connection.connected_at, time.monotonic()
        ):
            self._takeover_recorded = False
            LOG.info("client_id.recovered", client_id=self._broker.client_id)
            self._write(lambda: self._store.close_takeover_gap(self._loop.writer.now()))

    def _write(self, operation: Callable[[], None]) -> None:
        writer = self._loop.writer
        writer.submit(lambda: writer.persist(operation), lambda _: None)

    def _on_connected(self, session_present: bool) -> None:
        """Record the broker's answer, before its first message."""
        self._buffer.connected(session_present)
        self._loop.flush_policy.connected()
        writer = self._loop.writer
        lost_at = self._lost_at
        blind = None if lost_at is None else timedelta(seconds=time.monotonic() - lost_at)
        writer.submit(
            lambda: writer.persist(
                partial(self._store.record_connection, session_present, blind, writer.now())
            ),
            partial(self._connection_recorded, self._loop.connection, session_present),
        )

    def _connection_recorded(
        self, connection: BrokerConnection | None, session_present: bool, gap: bool
    ) -> None:
        """Subscribe: messages of a new session may come once its start is committed."""
        LOG.info(
            "broker.connected", broker=self._broker.name, session="present" if session_present else "new"
        )
        if gap:
            self._state.gaps += 1
            LOG.error("session.lost", client_id=self._broker.client_id)
        self._lost_at = None
        if connection and connection.alive:
            connection.subscribe(self._filter)

    def _until(self, is_done: Callable[[], bool], seconds: float, reading: bool = True) -> None:
        until = time.monotonic() + seconds
        while not is_done() and time.monotonic() < until:
            self._loop.step(reading)

    def _finish(self) -> int:
        """Commit received messages, wait for the broker's confirmation, leave."""
        loop, session, connection = self._loop, self._session, self._loop.connection
        loop.cut()
        if connection and connection.alive:
            self._until(lambda: loop.idle and not session.unconfirmed, CONFIRM_TIMEOUT)
            loop.cut()
        self._until(lambda: loop.idle, STOP_TIMEOUT, reading=False)
        if not loop.idle:
            LOG.error("counter.stopped", saved=False)
            return UNSAVED
        self._loop.writer.devices.finish()  # the writing thread is idle now
        self._store.release()
        LOG.info("counter.stopped", saved=True)
        return STOPPED

    def _save_qos0(self) -> None:
        """Save the counts at QoS 0; messages at QoS 1 go to the daemon that took over."""
        unsaved = self._loop.writer.unsaved
        batches = [unsaved.totals] if unsaved else []
        totals = merge([self._buffer.uncommitted(), *batches]).qos0()
        try:
            self._store.commit_fenced(totals, self._loop.writer.now())
        except (DatabaseUnavailable, SQLAlchemyError) as error:
            LOG.error("messages.lost", messages=totals.messages, reason=str(error))
