"""Hold counts and packet ids that are not committed, in batches of one commit each."""

from collections import deque
from typing import NamedTuple

from collectors.mqtt.codec import Publish
from collectors.mqtt.counters import TopicCounters
from collectors.mqtt.session import Cut, Session
from collectors.mqtt.topics import Topics
from collectors.mqtt.totals import QOS0, QOS1, Totals, merge


class Batch(NamedTuple):
    """Counts and the packet ids that go with them, for one transaction."""

    totals: Totals
    cut: Cut


class Buffer:
    """Belongs to the reading thread, like the session and the counters in it."""

    def __init__(self, topics: Topics, session: Session, top_devices: int = 0) -> None:
        self.session = session
        self.counters = TopicCounters(topics, top_devices)
        self._batches: deque[Batch] = deque()
        self._carried_over = Totals()  # cut before a lost connection, and not sent again

    def publish(self, message: Publish) -> None:
        """Count one message, unless it was counted before or is a replay of a retained one."""
        if message.packet_id and not self.session.is_new(message.packet_id, message.dup):
            return
        if message.retain:
            return
        counters = self.counters[message.topic]
        start = QOS1 if message.packet_id else QOS0
        counters[start] += 1
        counters[start + 1] += message.size

    def connected(self, session_present: bool) -> None:
        """Start a new connection.

        With `session_present` the broker sends again what is uncommitted at QoS 1, so that is dropped.
        """
        if session_present:
            self.counters.discard_qos1()
        waiting = [batch.totals.qos0() if session_present else batch.totals for batch in self._batches]
        self._carried_over = merge([self._carried_over, *waiting])
        self._batches.clear()
        self.session.connected(session_present)

    def cut(self) -> None:
        """End a batch here: later messages belong to the next one."""
        drained = self.counters.drain()
        totals = merge([self._carried_over, drained]) if self._carried_over else drained
        batch = Batch(totals, self.session.cut())
        self._carried_over = Totals()
        if batch.totals or batch.cut.packet_ids:
            self._batches.append(batch)

    def next_batch(self) -> Batch | None:
        """Remove and return the oldest batch, if it may be committed now."""
        if not self._batches or not self.session.may_commit(self._batches[0].cut):
            return None
        batch = self._batches.popleft()
        self.session.committing(batch.cut)
        return batch

    def uncommitted(self) -> Totals:
        """Return the counts that were never handed over, for a daemon that ends without a commit."""
        self.cut()
        return merge([self._carried_over, *(batch.totals for batch in self._batches)])

    @property
    def backlog(self) -> int:
        """Return how many messages at QoS 1 were not handed over yet."""
        return len(self.session.arrivals) + sum(len(batch.cut.packet_ids) for batch in self._batches)

    @property
    def has_batches(self) -> bool:
        """Return whether a batch is cut and not handed over."""
        return bool(self._batches)
