"""The exactly-once protocol between broker, daemon and database. No input or output happens here.

State. In PostgreSQL, one row for each client id (`mqtt_sessions`): `epoch`, and `last_packet_id`,
the packet id of the last PUBLISH whose count is committed. In memory, lost by a crash: what arrived
since, cut into batches (`Cut`), and which acknowledgements the broker is known to have processed.

Protocol.
 1. Start: CONNECT once and disconnect, to learn that the broker lets us in (`admission`). Then raise
    `epoch` and read `last_packet_id` in one statement, and connect again. Every later write of this
    daemon demands its own epoch in the same transaction. One that finds a higher epoch is fenced:
    it writes nothing more (but for QoS 0, which nobody gets again) and stands by. The epoch is read
    again before every reconnect, so a fenced daemon does not fight over the client id. Messages of
    the first connection are not read: its claim comes later, so a predecessor may count them too.
 2. CONNECT asks for the session that the broker kept. If there is none, the gap and an empty
    `last_packet_id` are committed, with the claim or else before SUBSCRIBE, hence before any message
    of the new session.
 3. Counts, and the id of the last PUBLISH they contain, are committed together, cut by cut and in
    the order of arrival.
 4. PUBACKs leave after the commit, on the connection the PUBLISHes came by, and a PINGREQ behind
    them. Its PINGRESP proves that the broker has processed them. A cut is committed only if no more
    than `DEDUP_HORIZON` ids would then be unconfirmed.
 5. After a lost connection, what arrived at QoS 1 and is in no commit is forgotten: it comes again.
    This makes a lost connection and a crash the same case. (If the broker lost the session instead,
    it is kept, since nobody will send it again.)
 6. After a reconnect, PUBLISHes marked DUP are skipped, that is acknowledged and not counted, as
    long as they are less than `DEDUP_HORIZON` ids behind `last_packet_id` and come closer to it. The
    first one that is not, or the first PUBLISH without DUP, ends this: everything later is new.
 7. A DUP later on the same connection is skipped if its id came by this connection and is unconfirmed.

Why it is exact. By 4, at most DEDUP_HORIZON counted ids can be unknown to the broker as acknowledged,
and by 3 and A2 they are the last ones up to `last_packet_id`. By A1 and A3 the broker sends exactly
those again first, in that order, marked DUP; 6 skips them, and as DEDUP_HORIZON is below 65,535 an id
that is ahead of `last_packet_id` is never mistaken for one behind. DUP alone says nothing: it only means
that the broker tried before.

Assumptions about the broker (mosquitto 2 keeps them all, as long as its queue, set as in
`deploy/mosquitto.conf`, does not overflow):
 A1. Unacknowledged PUBLISHes come again after a reconnect with the same packet id and DUP=1, in
     their first order, before any new PUBLISH at QoS 1 (MQTT 4.4, 4.6).
 A2. Packet ids are given in cyclic order, 1 to 65535, in the order of sending.
 A3. It processes what a connection sent in order: PINGRESP follows the processing of every PUBACK
     sent before its PINGREQ.
 A4. It says truthfully whether it kept the session, and keeps all of it.
 A5. Between two PUBLISHes that it sends, it uses up fewer than 65,535 - DEDUP_HORIZON ids for
     messages that it drops. Matters only if the connection and the daemon's memory are lost before the first
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
DEDUP_HORIZON = 60_000  # ids behind the last counted one that still mean "counted"
RECEIVE_MAXIMUM = 25_000  # in our CONNECT; twice this number is below DEDUP_HORIZON
CUT = RECEIVE_MAXIMUM // 2  # ids that make a cut, so that the broker's window never runs dry


@dataclass(frozen=True)
class Cut:
    """Packet ids to acknowledge once committed, in order, and the last id counted with them."""

    packet_ids: tuple[bytes, ...]
    last: int | None
    connection: int


class Session:
    """A daemon's view of its session. `last` is the id of the last PUBLISH handed to a commit."""

    def __init__(self, last: int | None) -> None:
        self.last = last
        self.arrivals: list[bytes] = []  # ids since the last cut; the reader appends
        self._newest = last  # the last counted id
        self._processed = 0  # how many arrivals `_newest` accounts for
        self._connection = 0
        self._cuts: deque[Cut] = deque()  # cuts of this connection, not confirmed
        self._acknowledged = self._confirmed = self._committing = 0
        self._resent_from = DEDUP_HORIZON  # how far behind `last` the previous resent id was; 0: no more
        self._known_ids: set[bytes] = set()
        self._known_ids_valid = False

    def connected(self, session_present: bool) -> None:
        """Start a new connection, and drop arrivals that are not cut.

        `session_present`: the broker still had the session. The caller drops the counts of those arrivals,
        and cuts that are not handed to a commit.
        """
        self._connection += 1
        self.arrivals.clear()
        self._cuts.clear()
        self._acknowledged = self._confirmed = self._committing = self._processed = 0
        self._resent_from = DEDUP_HORIZON if session_present else 0
        if not session_present:
            self.last = None
        self._newest = self.last
        self._known_ids_valid = False

    def is_new(self, packet_id: bytes, dup: bool) -> bool:
        """Return whether to count this PUBLISH. It is to be acknowledged in any case."""
        self._process_arrivals()
        number = int.from_bytes(packet_id, "big")
        new = not dup or not (self._is_resent(number) or self._is_known(packet_id))
        self.arrivals.append(packet_id)
        self._processed += 1
        self._known_ids.add(packet_id)
        if new:
            self._newest = number
            self._resent_from = 0
        return new

    def cut(self) -> Cut:
        """Return the packet ids that arrived since the last cut."""
        self._process_arrivals()
        cut = Cut(tuple(self.arrivals), self._newest, self._connection)
        self.arrivals.clear()
        self._processed = 0
        self._cuts.append(cut)
        return cut

    def may_commit(self, cut: Cut) -> bool:
        """Return whether `cut` can be committed with at most DEDUP_HORIZON ids unconfirmed."""
        return self.unconfirmed + len(cut.packet_ids) < DEDUP_HORIZON

    def committing(self, cut: Cut) -> None:
        """Note that `cut` is handed to a commit, which succeeds unless this daemon is fenced."""
        self._committing = len(cut.packet_ids)
        self.last = cut.last

    def committed(self, cut: Cut) -> tuple[bytes, ...]:
        """Return the ids to acknowledge now; none if they came by an earlier connection."""
        if cut.connection != self._connection:
            return ()
        self._committing = 0
        self._acknowledged += len(cut.packet_ids)
        return cut.packet_ids

    @property
    def acknowledged(self) -> int:
        """Return how many ids were acknowledged on this connection.

        The answer to a PINGREQ that is sent now confirms them.
        """
        return self._acknowledged

    @property
    def unconfirmed(self) -> int:
        """Return how many counted ids the broker may not know as acknowledged."""
        return self._acknowledged - self._confirmed + self._committing

    def confirmed(self, acknowledged: int) -> None:
        """Note the answer to a PINGREQ that was sent after `acknowledged` acknowledgements."""
        while self._cuts and self._confirmed + len(self._cuts[0].packet_ids) <= acknowledged:
            self._confirmed += len(self._cuts.popleft().packet_ids)
        self._known_ids_valid = False

    def _process_arrivals(self) -> None:
        """Account for the ids that the reader appended: first deliveries, which end a resend."""
        if len(self.arrivals) > self._processed:
            self._newest = int.from_bytes(self.arrivals[-1], "big")
            self._resent_from = 0
            if self._known_ids_valid:
                self._known_ids.update(self.arrivals[self._processed :])
            self._processed = len(self.arrivals)

    def _is_resent(self, number: int) -> bool:
        if self.last is None:
            return False
        behind = (self.last - number) % IDS
        if behind >= self._resent_from:
            return False
        self._resent_from = behind
        return True

    def _is_known(self, packet_id: bytes) -> bool:
        if not self._known_ids_valid:
            self._known_ids = {packet_id for cut in self._cuts for packet_id in cut.packet_ids}
            self._known_ids.update(self.arrivals)
            self._known_ids_valid = True
        return packet_id in self._known_ids
