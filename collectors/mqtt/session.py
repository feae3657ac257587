"""The exactly-once protocol between broker, daemon and database. No input or output happens here.

State. In PostgreSQL, one row for each client id (`mqtt_sessions`): `epoch`, and `last_packet_id`,
the packet id of the last PUBLISH whose count is committed. In memory, lost by a crash: what arrived
since, cut into pieces (`Cut`), and which acknowledgements the broker is known to have processed.

Protocol.
 1. Start: raise `epoch` and read `last_packet_id` in one statement. Every later write of this
    daemon demands its own epoch in the same transaction. One that finds a higher epoch is fenced:
    it writes nothing more (but for QoS 0, which nobody gets again) and stops. The epoch is read
    again before every reconnect, so a fenced daemon does not fight over the client id.
 2. CONNECT asks for the session that the broker kept. If there is none, the gap and an empty
    `last_packet_id` are committed before SUBSCRIBE, hence before any message of the new session.
 3. Counts, and the id of the last PUBLISH they contain, are committed together, cut by cut and in
    the order of arrival.
 4. PUBACKs leave after the commit, on the connection the PUBLISHes came by, and a PINGREQ behind
    them. Its PINGRESP proves that the broker has processed them. A cut is committed only if no more
    than `REACH` ids would then be unproven.
 5. After a lost connection, what arrived at QoS 1 and is in no commit is forgotten: it comes again.
    This makes a lost connection and a crash the same case. (If the broker lost the session instead,
    it is kept, since nobody will send it again.)
 6. After a reconnect, PUBLISHes marked DUP are skipped, that is acknowledged and not counted, as
    long as they are less than `REACH` ids behind `last_packet_id` and come closer to it. The first
    one that is not, or the first PUBLISH without DUP, ends this: everything later is new.
 7. A DUP later on the same connection is skipped if its id came by this connection and is unproven.

Why it is exact. By 4, at most REACH counted ids can be unknown to the broker as acknowledged, and
by 3 and A2 they are the last ones up to `last_packet_id`. By A1 and A3 the broker sends exactly
those again first, in that order, marked DUP; 6 skips them, and as REACH is below 65,535 an id that
is ahead of `last_packet_id` is never mistaken for one behind. DUP alone says nothing: it only means
that the broker tried before.

Assumptions about the broker (mosquitto 2 keeps them all, as long as its queue, set as in
`deploy/mosquitto.conf`, does not overflow):
 A1. Unacknowledged PUBLISHes come again after a reconnect with the same packet id and DUP=1, in
     their first order, before any new PUBLISH at QoS 1 (MQTT 4.4, 4.6).
 A2. Packet ids are given in cyclic order, 1 to 65535, in the order of sending.
 A3. It processes what a connection sent in order: PINGRESP follows the processing of every PUBACK
     sent before its PINGREQ.
 A4. It says truthfully whether it kept the session, and keeps all of it.
 A5. Between two PUBLISHes that it sends, it uses up fewer than 65,535 - REACH ids for messages that
     it drops. Matters only if the connection and the daemon's memory are lost before the first
     commit after such a drop.
Not assumed: that a PUBLISH or PUBACK arrives, that DUP means counted, a size of the broker's window.
A broker that sends again under new ids (iotcore) breaks A1: what it had not seen acknowledged when
the connection was lost, at most its window of 100, counts twice.

Not covered: a crash in the milliseconds between the broker's first answer that it has no session and
the commit of that news loses the record of the gap, since the broker's next answer is that it has one.
"""

from collections import deque
from dataclasses import dataclass

IDS = 65_535  # packet ids in a cycle
REACH = 60_000  # ids behind the last counted one that still mean "counted"
WINDOW = 25_000  # Receive Maximum of our CONNECT; twice of it is below REACH
CUT = WINDOW // 2  # ids that make a cut, so that the broker's window never runs dry


@dataclass(frozen=True)
class Cut:
    """Packet ids to acknowledge once committed, in order, and the last id counted with them."""

    packet_ids: tuple[bytes, ...]
    last: int | None
    connection: int


class Session:
    """One daemon's view of its session. `last` is the id of the last PUBLISH handed to a commit."""

    def __init__(self, last: int | None) -> None:
        self.last = last
        self.arrivals: list[bytes] = []  # ids since the last cut; the reader appends
        self._newest = last  # the last counted id
        self._settled = 0  # how many arrivals `_newest` accounts for
        self._connection = 0
        self._cuts: deque[Cut] = deque()  # cuts of this connection, not proven
        self._acknowledged = self._proven = self._committing = 0
        self._resent_from = REACH  # how far behind `last` the previous resent id was; 0: no more
        self._seen: set[bytes] = set()
        self._seen_is_current = False

    def connected(self, kept: bool) -> None:
        """The broker accepted; `kept` when it kept the session. Uncut arrivals are forgotten then.

        The caller forgets the counts that go with them, and cuts that are not handed to a commit.
        """
        self._connection += 1
        self.arrivals.clear()
        self._cuts.clear()
        self._acknowledged = self._proven = self._committing = self._settled = 0
        self._resent_from = REACH if kept else 0
        if not kept:
            self.last = None
        self._newest = self.last
        self._seen_is_current = False

    def is_new(self, packet_id: bytes, dup: bool) -> bool:
        """True when this PUBLISH is to be counted. It is to be acknowledged in any case."""
        self._settle()
        number = int.from_bytes(packet_id, "big")
        new = not dup or not (self._is_resent(number) or self._has_seen(packet_id))
        self.arrivals.append(packet_id)
        self._settled += 1
        self._seen.add(packet_id)
        if new:
            self._newest = number
            self._resent_from = 0
        return new

    def cut(self) -> Cut:
        """Everything that arrived since the last cut."""
        self._settle()
        cut = Cut(tuple(self.arrivals), self._newest, self._connection)
        self.arrivals.clear()
        self._settled = 0
        self._cuts.append(cut)
        return cut

    def may_commit(self, cut: Cut) -> bool:
        """True when `cut` may be committed without leaving more than REACH ids unproven."""
        return self.unproven + len(cut.packet_ids) < REACH

    def committing(self, cut: Cut) -> None:
        """`cut` is handed to a commit that will succeed, or this daemon is fenced."""
        self._committing = len(cut.packet_ids)
        self.last = cut.last

    def committed(self, cut: Cut) -> tuple[bytes, ...]:
        """The ids to acknowledge now; none when they came by an earlier connection."""
        if cut.connection != self._connection:
            return ()
        self._committing = 0
        self._acknowledged += len(cut.packet_ids)
        return cut.packet_ids

    @property
    def acknowledged(self) -> int:
        """How many ids this connection has acknowledged: what a PINGREQ sent now would prove."""
        return self._acknowledged

    @property
    def unproven(self) -> int:
        """Ids counted on this connection that the broker may not know as acknowledged."""
        return self._acknowledged - self._proven + self._committing

    def proven(self, acknowledged: int) -> None:
        """The PINGRESP came to a PINGREQ that was sent after so many acknowledgements."""
        while self._cuts and self._proven + len(self._cuts[0].packet_ids) <= acknowledged:
            self._proven += len(self._cuts.popleft().packet_ids)
        self._seen_is_current = False

    def _settle(self) -> None:
        """Account for what the reader appended: first deliveries, which end a resend."""
        if len(self.arrivals) > self._settled:
            self._newest = int.from_bytes(self.arrivals[-1], "big")
            self._resent_from = 0
            if self._seen_is_current:
                self._seen.update(self.arrivals[self._settled :])
            self._settled = len(self.arrivals)

    def _is_resent(self, number: int) -> bool:
        if self.last is None:
            return False
        behind = (self.last - number) % IDS
        if behind >= self._resent_from:
            return False
        self._resent_from = behind
        return True

    def _has_seen(self, packet_id: bytes) -> bool:
        if not self._seen_is_current:
            self._seen = {known for cut in self._cuts for known in cut.packet_ids}
            self._seen.update(self.arrivals)
            self._seen_is_current = True
        return packet_id in self._seen
