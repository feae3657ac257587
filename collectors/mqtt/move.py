"""Move a counter to another client id without losing or repeating a message.

For a moment both sessions are subscribed, and the broker delivers every message to both. A marker, published
by us and delivered to both as well, separates them: the old session is counted up to the marker, the new one
from there on. A broker that routes messages to its sessions in one order (mosquitto) makes that exact.

A member of a shared group gets its own share only, so nothing comes twice: the new member joins, the old one
leaves, and what still waits for the old one, up to the marker, is counted.
"""

import secrets
import select
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from collectors.mqtt import admission, claims, cleanup, client_ids, codec, endpoint
from collectors.mqtt.buffer import Buffer
from collectors.mqtt.claims import Clock
from collectors.mqtt.codec import Publish
from collectors.mqtt.connection import BrokerConnection
from collectors.mqtt.diagnostics.probe_client import ConnectionRefused, ProbeClient
from collectors.mqtt.endpoint import Endpoint
from collectors.mqtt.session import CUT, Session
from collectors.mqtt.store import Store
from collectors.mqtt.topics import Topics
from metering.config.settings import Settings
from metering.db import clock as clocks
from metering.db.transactions import transaction
from metering.errors import MoveFailed
from metering.ledger import sessions

ANSWER_TIMEOUT = 10.0  # seconds that the broker gets for each answer
DRAIN_TIMEOUT = 3600.0  # seconds that the messages waiting for the old session get
COMMIT_INTERVAL = 0.5  # seconds


def run(settings: Settings, engine: Engine, old_id: str, actor: str, now: Callable[[], datetime]) -> str:
    """Drain the session `old_id`, go on under the next client id, and return that.

    A daemon that counts under `old_id` stands by meanwhile and goes on under the new id. Raises MoveFailed,
    UnknownCounter, Fenced; then the old session is as it was.
    """
    with transaction(engine) as connection:
        member = sessions.require(connection, old_id)
        new_id = client_ids.after(connection, settings, old_id)
    old, new = (endpoint.from_settings(settings, client_id) for client_id in (old_id, new_id))
    answer = admission.ask(old, threading.Event())
    if answer.session_present is None:
        raise MoveFailed(f"{old.name} does not let us in as {old_id}: {answer.reason}")
    clock = Clock(now(), settings.clock_tolerance)
    claim, _ = claims.claim(engine, old, member.shared_group, answer.session_present, clock)
    cleanup.remove_session(settings, new_id)  # of an earlier attempt
    move = _Move(settings, Store(engine, claim), old, new, member.shared_group, answer.v5, now)
    try:
        move.run()
        with transaction(engine) as connection:
            at = clocks.agreed_instant(connection, now(), settings.clock_tolerance)
            sessions.move(connection, old_id, new_id, actor, at)
    except BaseException:
        move.close()
        cleanup.remove_session(settings, new_id)
        claims.remove_worker(engine, old_id)
        raise
    move.close()
    claims.remove_worker(engine, old_id)
    cleanup.remove_session(settings, old_id)
    return new_id


class _Move:
    def __init__(
        self,
        settings: Settings,
        store: Store,
        old: Endpoint,
        new: Endpoint,
        group: str | None,
        v5: bool,
        now: Callable[[], datetime],
    ) -> None:
        root = settings.mqtt_topic_root
        self._filter = f"$share/{group}/{root}/#" if group else f"{root}/#"
        self._group = group
        self._marker = f"fleetmeter-doctor/move-{secrets.token_hex(8)}"
        self._store = store
        self._now = now
        self._tolerance = settings.clock_tolerance
        self._session = Session(store.claim.last_packet_id)
        self._buffer = Buffer(Topics(root, settings.mqtt_outbound_levels), self._session)
        self._old_passed = self._new_passed = False  # the marker
        self._new_ids: list[bytes] = []
        self._new_confirmed = self._flushes = 0
        self._committed_at = time.monotonic()
        self._v5 = v5
        self._new = BrokerConnection(new, v5, lambda _present: None, self._on_new_confirmed)
        self._old_endpoint = old
        self._old: BrokerConnection | None = None

    def run(self) -> None:
        self._await(lambda: self._new.session_present is not None, "a connection under the new client id")
        self._subscribe(self._new, self._filter)
        if not self._group:
            self._subscribe(self._new, self._marker)
        self._old = BrokerConnection(
            self._old_endpoint, self._v5, self._buffer.connected, self._session.confirmed
        )
        old = self._old
        self._await(lambda: old.session_present is not None, "a connection under the old client id")
        self._subscribe(old, self._marker)
        if self._group:
            old.unsubscribe(self._filter)
            self._await(lambda: old.unsubscribed, "the end of the old subscription")
        self._publish_marker()
        if not self._group:
            self._await(lambda: self._new_passed, "the marker on the new session")
            self._new.acknowledge(codec.puback(self._new_ids), len(self._new_ids))
            self._await(lambda: self._new_confirmed >= len(self._new_ids), "the broker's confirmation")
            self._new.unsubscribe(self._marker)
            self._await(lambda: self._new.unsubscribed, "the end of the marker's subscription")
        self._await(lambda: self._old_passed, "the marker on the old session", DRAIN_TIMEOUT)
        self._commit()

    def close(self) -> None:
        for connection in (self._old, self._new):
            if connection is not None:
                connection.close()

    def _subscribe(self, connection: BrokerConnection, topic_filter: str) -> None:
        connection.subscribed = False
        connection.subscribe(topic_filter)
        self._await(lambda: connection.subscribed, f"a subscription to {topic_filter}")

    def _publish_marker(self) -> None:
        broker = replace(self._old_endpoint, client_id=f"{endpoint.PREFIX}-move-{secrets.token_hex(4)}")
        try:
            client = ProbeClient(broker, broker.client_id, self._v5, clean=True)
        except (OSError, ConnectionRefused) as error:
            raise MoveFailed(f"{broker.name} does not let us in as {broker.client_id}: {error}") from error
        client.publish(self._marker, 1)
        client.disconnect()

    def _await(self, is_done: Callable[[], bool], what: str, seconds: float = ANSWER_TIMEOUT) -> None:
        until = time.monotonic() + seconds
        while not is_done():
            if time.monotonic() > until:
                raise MoveFailed(
                    f"{self._old_endpoint.name} does not give {what}; this user must be allowed to read and "
                    "write fleetmeter-doctor/#"
                )
            self._step()
        self._commit()

    def _step(self) -> None:
        connections = [one for one in (self._old, self._new) if one is not None]
        for connection in connections:
            if not connection.alive:
                raise MoveFailed(f"{self._old_endpoint.name}: {connection.failure}")
            if connection.has_output:
                connection.send_output()
        readable: list[Any] = [connection.socket for connection in connections]
        ready = select.select(readable, [], [], 0.05)[0]
        if self._old is not None and self._old.socket in ready:
            self._old.read_with_paho(self._publish_old)
        if self._new.socket in ready:
            self._new.read_with_paho(self._publish_new)
        for connection in connections:
            connection.check_keepalive()
        due = time.monotonic() - self._committed_at > COMMIT_INTERVAL
        if due or len(self._session.arrivals) > CUT:
            self._commit()

    def _publish_old(self, message: Publish) -> None:
        if message.topic == self._marker.encode():
            self._old_passed = True
        elif not self._old_passed:
            self._buffer.publish(message)

    def _publish_new(self, message: Publish) -> None:
        """Acknowledge messages before the marker; the next daemon receives the later ones again."""
        if self._new_passed or self._group:
            return
        if message.packet_id:
            self._new_ids.append(message.packet_id)
        self._new_passed = message.topic == self._marker.encode()

    def _on_new_confirmed(self, count: int) -> None:
        self._new_confirmed = count

    def _commit(self) -> None:
        """Commit and acknowledge the messages of the old session."""
        self._committed_at = time.monotonic()
        self._buffer.cut()
        while batch := self._buffer.next_batch():
            self._flushes += 1
            clock = Clock(self._now(), self._tolerance)
            self._store.commit(batch.totals, batch.cut.last, self._flushes, clock)
            packet_ids = self._session.committed(batch.cut)
            if packet_ids and self._old is not None:
                self._old.acknowledge(codec.puback(packet_ids), len(packet_ids))
