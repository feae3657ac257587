"""What the reading thread does all day: wait, read, hand counts to the writer, acknowledge."""

import select
import socket
import time
from datetime import datetime
from typing import Any

from collectors.mqtt import codec
from collectors.mqtt.buffer import Batch, Buffer
from collectors.mqtt.connection import BrokerConnection
from collectors.mqtt.flush_policy import FlushPolicy
from collectors.mqtt.reader import IDLE_SECONDS, Reader
from collectors.mqtt.store import Store
from collectors.mqtt.writer import Clock, Writer

BEAT = 5.0  # seconds between two signs of life
NARROW_SECONDS = 0.005  # between two reads of what a small window lets through


class Loop:
    """Inbox, writer and the clockwork between them; `link` is the connection of the moment."""

    def __init__(self, inbox: Buffer, store: Store, clock: Clock) -> None:
        self.inbox = inbox
        self.link: BrokerConnection | None = None
        self._reader: Reader | None = None
        self._woken, self._waker = socket.socketpair()
        self.writer = Writer(store, clock, self._wake)
        self.pace = FlushPolicy()
        self._store = store
        self._unsaved = 0  # bytes read since the last cut
        self._flying = self._beating = self._was_connected = False
        self._heard = self._beaten = time.monotonic()
        self._messages = self._messages_at_beat = 0
        self._flush_ms = 0.0

    def attach(self, link: BrokerConnection, reader: Reader) -> None:
        """Serve this connection from now on."""
        self.link, self._reader = link, reader

    def step(self, reading: bool = True) -> None:
        """Wait for something to happen, then do what follows. Raises Fenced."""
        # Out of memory for more projects until the database takes some: the broker has to wait.
        paused = self.inbox.counts.crowded and (self.inbox.waits or self._flying)
        reader = self._reader if reading and not paused else None
        self._wait(reader)
        if self.link and self.link.alive:
            self._read(self.link, reader)
        self.writer.collect()
        if self.writer.fenced:
            raise self.writer.fenced
        self._cut_if_due()
        self._commit_next()
        self._beat_if_due()

    def cut(self) -> None:
        """Have everything that was read committed next."""
        now = time.monotonic()
        self.pace.cut(now, len(self.inbox.session.arrivals), now - self._heard)
        self.inbox.cut()
        self._unsaved = 0

    @property
    def settled(self) -> bool:
        """True when nothing that was cut waits for the database."""
        return not (self.inbox.waits or self.writer.busy)

    def close(self) -> None:
        """Stop writing and close what is open."""
        self.writer.close()
        if self.link:
            self.link.close()
        self._woken.close()
        self._waker.close()

    def _read(self, link: BrokerConnection, reader: Reader | None) -> None:
        if reader is None:
            link.stay()
        elif came := reader.read():
            self._heard = time.monotonic()
            self._unsaved += came
        link.tend()

    def _wait(self, reader: Reader | None) -> None:
        sock = self.link.socket if self.link and self.link.alive else None
        readable: list[Any] = [self._woken, *([sock] if sock and reader else [])]
        writable = [sock] if sock and self.link and self.link.want_write else []
        ready, sendable, _ = select.select(readable, writable, [], self._patience(reader))
        if self._woken in ready:
            self._woken.recv(4096)
        if sendable and self.link:
            self.link.write()

    def _patience(self, reader: Reader | None) -> float:
        patience = reader.patience if reader else IDLE_SECONDS / 5
        if self.pace.narrow and self._unsaved:
            patience = min(patience, NARROW_SECONDS)
        if not (self._unsaved and self.settled):
            return patience
        return min(patience, self.pace.remaining(time.monotonic()))

    def _wake(self) -> None:
        self._waker.send(b"\0")

    def _cut_if_due(self) -> None:
        arrivals = len(self.inbox.session.arrivals)
        crowded = self.inbox.counts.crowded and not self.inbox.waits
        now = time.monotonic()
        due = self.settled and self.pace.due(now, self._unsaved, now - self._heard)
        if due or crowded or arrivals >= self.pace.cut_at:
            self.cut()

    def _commit_next(self) -> None:
        piece = None if self._flying else self.inbox.next()
        if piece is not None:
            self._flying = True
            started = time.monotonic()
            self.writer.submit(lambda: self.writer.flush(piece), lambda _: self._committed(piece, started))

    def _committed(self, piece: Batch, started: float) -> None:
        self._flying = False
        self._flush_ms = 1000 * (time.monotonic() - started)
        self._messages += piece.tally.messages
        packet_ids = self.inbox.session.committed(piece.cut)
        if packet_ids and self.link and self.link.accepted is not None:
            self.link.acknowledge(codec.puback(packet_ids), len(packet_ids))

    def _beat_if_due(self) -> None:
        now = time.monotonic()
        changed = self.connected != self._was_connected
        if self._beating or (now - self._beaten < BEAT and not changed):
            return
        self._was_connected = self.connected
        rate = (self._messages - self._messages_at_beat) / max(now - self._beaten, 0.001)
        self._beaten, self._messages_at_beat, self._beating = now, self._messages, True
        connected, figures = self.connected, self._figures(rate)

        def beat() -> None:
            at: datetime = self.writer.instant()
            self.writer.persist(lambda: self._store.beat(connected, at, figures))

        self.writer.submit(beat, self._has_beaten)

    def _has_beaten(self, _: None) -> None:
        self._beating = False

    @property
    def connected(self) -> bool:
        """True while the subscription stands."""
        return self.link is not None and self.link.alive and self.link.subscribed

    def _figures(self, rate: float) -> dict[str, Any]:
        return {
            "messages": self._messages,
            "rate_per_second": round(rate, 1),
            "connected": self.connected,
            "backlog": self.inbox.backlog,
            "last_flush_ms": round(self._flush_ms, 1),
        }
