"""Run the reading thread: wait, read, hand batches to the writer, acknowledge."""

import select
import socket
import time
from functools import partial
from typing import Any

from collectors.mqtt import codec
from collectors.mqtt.buffer import Batch, Buffer
from collectors.mqtt.connection import BrokerConnection
from collectors.mqtt.flush_policy import FlushPolicy
from collectors.mqtt.reader import IDLE_SECONDS, Reader
from collectors.mqtt.state import CounterState
from collectors.mqtt.store import Store
from collectors.mqtt.writer import HostClock, Writer

HEARTBEAT_SECONDS = 5.0
STATE_SECONDS = 1.0  # between two notes of the state for the probes
SMALL_WINDOW_SECONDS = 0.005  # between two reads under a small window


class Loop:
    """Connects buffer and writer; `connection` is the current connection, if any."""

    def __init__(
        self,
        buffer: Buffer,
        store: Store,
        clock: HostClock,
        tolerance: float,
        top_devices: int,
        state: CounterState,
    ) -> None:
        self.buffer = buffer
        self.connection: BrokerConnection | None = None
        self._reader: Reader | None = None
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self.writer = Writer(store, clock, tolerance, self._wake, top_devices, state)
        self.flush_policy = FlushPolicy()
        self._store = store
        self._unsaved_bytes = 0  # read since the last cut
        self._committing = self._heartbeat_pending = self._was_connected = False
        self._last_received = self._last_heartbeat = time.monotonic()
        self._messages = self._messages_at_heartbeat = 0
        self._flush_ms = 0.0
        self._state, self._next_state = state, 0.0

    def attach(self, connection: BrokerConnection, reader: Reader) -> None:
        """Serve `connection` from now on."""
        self.connection, self._reader = connection, reader

    def step(self, reading: bool = True) -> None:
        """Wait for an event, then handle it.

        Raises Fenced if another daemon has taken over, and any exception of the writing thread.
        """
        # No memory for more projects until the database has taken some: the broker has to wait.
        paused = self.buffer.counters.full and (self.buffer.has_batches or self._committing)
        reader = self._reader if reading and not paused else None
        self._wait(reader)
        if self.connection and self.connection.alive:
            self._receive(self.connection, reader)
        self.writer.collect()
        self._cut_if_due()
        self._commit_next()
        self._heartbeat_if_due()
        self._note_state()

    def cut(self) -> None:
        """Have all read messages committed next."""
        now = time.monotonic()
        self.flush_policy.flush_started(now, len(self.buffer.session.arrivals), now - self._last_received)
        self.buffer.cut()
        self._unsaved_bytes = 0

    @property
    def idle(self) -> bool:
        """Return whether no batch waits for the database."""
        return not (self.buffer.has_batches or self.writer.busy)

    def close(self) -> None:
        """Stop writing; close the connection and the sockets."""
        self.writer.close()
        if self.connection:
            self.connection.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    def _receive(self, connection: BrokerConnection, reader: Reader | None) -> None:
        if reader is None:
            connection.keep_alive_while_paused()
        elif received := reader.receive():
            self._last_received = time.monotonic()
            self._unsaved_bytes += received
        connection.check_keepalive()

    def _wait(self, reader: Reader | None) -> None:
        sock = self.connection.socket if self.connection and self.connection.alive else None
        readable: list[Any] = [self._wake_receiver, *([sock] if sock and reader else [])]
        writable = [sock] if sock and self.connection and self.connection.has_output else []
        ready, sendable, _ = select.select(readable, writable, [], self._timeout(reader))
        if self._wake_receiver in ready:
            self._wake_receiver.recv(4096)
        if sendable and self.connection:
            self.connection.send_output()

    def _timeout(self, reader: Reader | None) -> float:
        timeout = reader.timeout if reader else IDLE_SECONDS / 5
        if self.flush_policy.small_window and self._unsaved_bytes:
            timeout = min(timeout, SMALL_WINDOW_SECONDS)
        if not (self._unsaved_bytes and self.idle):
            return timeout
        return min(timeout, self.flush_policy.remaining(time.monotonic()))

    def _wake(self) -> None:
        self._wake_sender.send(b"\0")

    def _cut_if_due(self) -> None:
        arrivals = len(self.buffer.session.arrivals)
        full = self.buffer.counters.full and not self.buffer.has_batches
        now = time.monotonic()
        due = self.idle and self.flush_policy.due(now, self._unsaved_bytes, now - self._last_received)
        if due or full or arrivals >= self.flush_policy.cut_at:
            self.cut()

    def _commit_next(self) -> None:
        batch = None if self._committing else self.buffer.next_batch()
        if batch is not None:
            self._committing = True
            committed = partial(self._committed, batch, time.monotonic())
            self.writer.submit(partial(self.writer.flush, batch), committed)

    def _committed(self, batch: Batch, started: float, _: object) -> None:
        self._committing = False
        self._flush_ms = 1000 * (time.monotonic() - started)
        self._messages += batch.totals.messages
        self._state.committed(batch.totals, time.monotonic() - started)
        packet_ids = self.buffer.session.committed(batch.cut)
        if packet_ids and self.connection and self.connection.session_present is not None:
            self.connection.acknowledge(codec.puback(packet_ids), len(packet_ids))

    def _note_state(self) -> None:
        now = time.monotonic()
        if now >= self._next_state or self.connected != self._state.connected:
            self._next_state = now + STATE_SECONDS
            waiting = bool(self._unsaved_bytes or self.buffer.has_batches or self._committing)
            self._state.read(now, self.connected, self.buffer.backlog, waiting)

    def _heartbeat_if_due(self) -> None:
        now = time.monotonic()
        changed = self.connected != self._was_connected
        due = changed or now - self._last_heartbeat >= HEARTBEAT_SECONDS
        if self._heartbeat_pending or not due:
            return
        self._was_connected = self.connected
        rate = (self._messages - self._messages_at_heartbeat) / max(now - self._last_heartbeat, 0.001)
        self._last_heartbeat, self._messages_at_heartbeat = now, self._messages
        self._heartbeat_pending = True
        heartbeat = partial(self._write_heartbeat, self.connected, self._figures(rate))
        self.writer.submit(heartbeat, self._heartbeat_written)

    def _write_heartbeat(self, connected: bool, figures: dict[str, Any]) -> None:
        self.writer.persist(lambda: self._store.heartbeat(connected, figures, self.writer.now()))
        self.writer.devices.step()

    def _heartbeat_written(self, _: object) -> None:
        self._heartbeat_pending = False

    @property
    def connected(self) -> bool:
        """Return whether the subscription stands."""
        return self.connection is not None and self.connection.alive and self.connection.subscribed

    def _figures(self, rate: float) -> dict[str, Any]:
        return {
            "messages": self._messages,
            "rate_per_second": round(rate, 1),
            "connected": self.connected,
            "backlog": self.buffer.backlog,
            "last_flush_ms": round(self._flush_ms, 1),
        }
