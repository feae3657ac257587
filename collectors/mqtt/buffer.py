"""What has arrived and is not committed: counts and packet ids together, cut where a commit ends."""

from collections import deque
from typing import NamedTuple

from collectors.mqtt.codec import Publish
from collectors.mqtt.counters import QOS0, QOS1, Counts, Totals, merge
from collectors.mqtt.session import Cut, Session
from collectors.mqtt.topics import Topics


class Batch(NamedTuple):
    """Counts and the ids that go with them, for one transaction."""

    tally: Totals
    cut: Cut


class Buffer:
    """Belongs to the reading thread, like the session and the counts in it."""

    def __init__(self, topics: Topics, session: Session) -> None:
        self.session = session
        self.counts = Counts(topics)
        self._waiting: deque[Batch] = deque()
        self._kept = Totals()  # what was cut before a lost connection and does not come again

    def publish(self, message: Publish) -> None:
        """Count one message, unless it was counted before or is a retained one, replayed."""
        if message.packet_id and not self.session.is_new(message.packet_id, message.dup):
            return
        if message.retain:
            return
        cell = self.counts[message.topic]
        start = QOS1 if message.packet_id else QOS0
        cell[start] += 1
        cell[start + 1] += message.size

    def accepted(self, kept: bool) -> None:
        """A new connection; with `kept`, the broker sends what is uncommitted at QoS 1 again."""
        if kept:
            self.counts.forget_qos1()
        tallies = [piece.tally.qos0() if kept else piece.tally for piece in self._waiting]
        self._kept = merge([self._kept, *tallies])
        self._waiting.clear()
        self.session.connected(kept)

    def cut(self) -> None:
        """End a piece here: what arrives from now on belongs to the next one."""
        taken = self.counts.take()
        piece = Batch(merge([self._kept, taken]) if self._kept else taken, self.session.cut())
        self._kept = Totals()
        if piece.tally or piece.cut.packet_ids:
            self._waiting.append(piece)

    def next(self) -> Batch | None:
        """The oldest piece, if it may be committed now; it is the caller's then."""
        if not self._waiting or not self.session.may_commit(self._waiting[0].cut):
            return None
        piece = self._waiting.popleft()
        self.session.committing(piece.cut)
        return piece

    def leftover(self) -> Totals:
        """Everything that was never handed over; for a daemon that ends without a commit."""
        self.cut()
        return merge([self._kept, *(piece.tally for piece in self._waiting)])

    @property
    def backlog(self) -> int:
        """Messages at QoS 1 that arrived and were not handed over."""
        return len(self.session.arrivals) + sum(len(p.cut.packet_ids) for p in self._waiting)

    @property
    def waits(self) -> bool:
        """True when a piece is cut and not handed over."""
        return bool(self._waiting)
