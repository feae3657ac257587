"""A broker, daemons and a database small enough to interleave in every order.

The daemons are the real `Buffer` and `Session`; broker, network and database are models that do all
that the assumptions in `collectors.mqtt.session` allow, and no more. Each message has a project of its
own, so the database says which message was counted how often.
"""

from collections import Counter, deque
from dataclasses import dataclass, field

from collectors.mqtt import session as protocol
from collectors.mqtt.buffer import Batch, Buffer
from collectors.mqtt.codec import Publish
from collectors.mqtt.session import Session
from collectors.mqtt.topics import Topics
from collectors.mqtt.totals import merge

CUT = 10  # ids; well below the reach, as in the daemon


@dataclass
class Connection:
    """Two pipes. Packets in them may be lost; those that arrive stay in order."""

    down: deque[tuple[object, ...]] = field(default_factory=deque)
    up: deque[tuple[object, ...]] = field(default_factory=deque)
    open: bool = True


@dataclass
class Broker:
    """One persistent session: ids in cyclic order, a window, DUP on each message that was sent before."""

    window: int
    connection: Connection | None = None
    next_id: int = 1
    queue: deque[int] = field(default_factory=deque)
    in_flight: dict[int, tuple[int, bool]] = field(default_factory=dict)  # id -> message, tried

    def accept(self) -> Connection:
        if self.connection:
            self.connection.open = False
        self.connection = Connection()
        for packet_id, (message, tried) in self.in_flight.items():
            self._send(packet_id, message, tried)
        return self.connection

    def send(self) -> None:
        while self.queue and len(self.in_flight) < self.window:
            packet_id, self.next_id = self.next_id, self.next_id % protocol.IDS + 1
            message = self.queue.popleft()
            self.in_flight[packet_id] = (message, False)
            if self.connection and self.connection.open:
                self._send(packet_id, message, False)

    def send_unreliably(self, message: int) -> bool:
        if self.connection and self.connection.open:
            self.connection.down.append(("publish", message, 0, False))
            return True
        return False

    def process(self, connection: Connection, most: int) -> None:
        for _ in range(min(most, len(connection.up))):
            kind, value = connection.up.popleft()
            if kind == "puback":
                self.in_flight.pop(value, None)  # type: ignore[arg-type]
                self.send()
            else:
                connection.down.append(("pingresp", value))

    def _send(self, packet_id: int, message: int, dup: bool) -> None:
        assert self.connection
        self.in_flight[packet_id] = (message, True)
        self.connection.down.append(("publish", message, packet_id, dup))


@dataclass
class Database:
    epoch: int = 0
    last: int | None = None
    counts: Counter[int] = field(default_factory=Counter)

    def claim(self) -> tuple[int, int | None]:
        self.epoch += 1
        return self.epoch, self.last


class Daemon:
    """The steps of `daemon`, `loop` and `writer`, one at a time."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.epoch, last = database.claim()
        self.session = Session(last)
        self.buffer = Buffer(Topics("r", ()), self.session)
        self.connection: Connection | None = None
        self.may_connect = self.answered = self.fenced = False
        self.committing: Batch | None = None
        self.committed: Batch | None = None
        self.unreliable: set[int] = set()  # received at QoS 0, not committed

    def check_epoch(self) -> None:
        if self.database.epoch != self.epoch:
            self._stop_fenced()
        self.may_connect = not self.fenced

    def connect(self, broker: Broker) -> None:
        self.may_connect = self.answered = False
        self.connection = broker.accept()

    def read(self, most: int) -> None:
        if self.connection is None or self.fenced:
            return
        if not self.answered:
            self.answered = True
            self.buffer.connected(True)
        for _ in range(min(most, len(self.connection.down))):
            kind, value, *more = self.connection.down.popleft()
            if kind == "pingresp":
                self.session.confirmed(value)  # type: ignore[arg-type]
            else:
                self._publish(value, *more)  # type: ignore[arg-type]
            if len(self.session.arrivals) >= CUT:
                self.cut()
        if not self.connection.open and not self.connection.down:
            self.lose()

    def lose(self) -> None:
        self.connection = None
        self.answered = False

    def _publish(self, message: int, packet_id: int, dup: bool) -> None:
        topic = b"r/1/%d/d" % (message + 1)
        identifier = packet_id.to_bytes(2, "big") if packet_id else b""
        if packet_id and not dup:  # as the fast path does
            self.session.arrivals.append(identifier)
            self.buffer.counters[topic][2] += 1
        else:
            self.buffer.publish(Publish(topic, identifier, dup, False, 0))
        if not packet_id:
            self.unreliable.add(message)

    def cut(self) -> None:
        self.buffer.cut()

    def hand_over(self) -> None:
        if not (self.committing or self.committed or self.fenced):
            self.committing = self.buffer.next_batch()

    def commit(self) -> None:
        """Commit the whole batch, unless another daemon has the epoch."""
        if self.committing is None:
            return
        if self.database.epoch != self.epoch:
            self._stop_fenced()
            return
        self.database.last = self.committing.cut.last
        self._count(self.committing)
        self.committed, self.committing = self.committing, None

    def acknowledge(self) -> None:
        if self.committed is None:
            return
        packet_ids = self.session.committed(self.committed.cut)
        self.committed = None
        if packet_ids and self.connection and self.answered and self.connection.open:
            up = self.connection.up
            up.extend(("puback", int.from_bytes(packet_id, "big")) for packet_id in packet_ids)
            up.append(("pingreq", self.session.acknowledged))

    def _count(self, batch: Batch) -> None:
        for (_, project), counters in batch.totals.projects.items():
            message = project - 1
            self.database.counts[message] += counters.messages
            if counters.inbound[0]:
                self.unreliable.discard(message)

    def _stop_fenced(self) -> None:
        if self.fenced:
            return
        self.fenced = True
        batches = [self.buffer.uncommitted(), *([self.committing.totals] if self.committing else [])]
        for (_, project), counters in merge(batches).qos0().projects.items():
            self.database.counts[project - 1] += counters.messages
            self.unreliable.discard(project - 1)
        self.committing = None


def process_until_quiet(broker: Broker, daemon: Daemon) -> None:
    """Process every published message without further faults."""
    for _ in range(10_000):
        daemon.check_epoch()
        assert not daemon.fenced
        if daemon.connection is None:
            daemon.connect(broker)
        broker.send()
        daemon.read(7)
        daemon.cut()
        daemon.hand_over()
        daemon.commit()
        daemon.acknowledge()
        if daemon.connection:
            broker.process(daemon.connection, 50)
        quiet = daemon.connection and not (daemon.connection.down or daemon.connection.up)
        if quiet and not (broker.queue or broker.in_flight or daemon.buffer.has_batches or daemon.committing):
            return
    raise AssertionError("stalled")
