"""Schedules of crashes, cuts and takeovers between any two steps of the counter's protocol.

The cycle of packet ids is 50 instead of 65,535, so that ids come round many times in a schedule.
"""

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from collectors.mqtt import session as protocol
from tests.support.mqtt_model import Broker, Daemon, Database, process_until_quiet

IDS, DEDUP_HORIZON = 50, 45

few = st.integers(0, 30)
which = st.sampled_from([0, 0, 0, 1])  # of the daemons


class ExactlyOnce(RuleBasedStateMachine):
    """Up to two daemons under one client id; the older one may not know that it is fenced."""

    @initialize(window=st.sampled_from([1, 2, 7, 22, 44, 50]))
    def begin(self, window: int) -> None:
        protocol.IDS, protocol.DEDUP_HORIZON = IDS, DEDUP_HORIZON
        self.broker = Broker(window)
        self.database = Database()
        self.daemons = [Daemon(self.database)]
        self.reliable: list[int] = []
        self.received: set[int] = set()
        self.lost: set[int] = set()
        self.messages = 0

    def _daemon(self, index: int) -> Daemon:
        return self.daemons[index % len(self.daemons)]

    @rule(count=st.integers(1, 60))
    def publish(self, count: int) -> None:
        for _ in range(count):
            self.broker.queue.append(self.messages)
            self.reliable.append(self.messages)
            self.messages += 1
        self.broker.send()

    @rule()
    def publish_unreliably(self) -> None:
        self.broker.send_unreliably(self.messages)
        self.messages += 1

    @rule(index=which, hesitates=st.booleans())
    def check_epoch(self, index: int, hesitates: bool) -> None:
        """Check the epoch, and connect unless the daemon hesitates.

        If it hesitates, other steps may come before it connects.
        """
        daemon = self._daemon(index)
        if daemon.connection is None:
            daemon.check_epoch()
            if not hesitates:
                self.connect(index)

    @rule(index=which)
    def connect(self, index: int) -> None:
        if self._daemon(index).may_connect:
            self._daemon(index).connect(self.broker)

    @rule(index=which, most=st.integers(1, 60))
    def read(self, index: int, most: int) -> None:
        self._daemon(index).read(most)

    @rule(index=which, steps=st.integers(1, 4))
    def write(self, index: int, steps: int) -> None:
        """Take the first `steps` of the four steps of a commit.

        They lead from counts in memory to acknowledgements.
        """
        daemon = self._daemon(index)
        for step in (daemon.cut, daemon.hand_over, daemon.commit, daemon.acknowledge)[:steps]:
            step()

    @rule(index=which)
    def go_on(self, index: int) -> None:
        """Take the last two of those steps: commit and acknowledge."""
        self._daemon(index).commit()
        self._daemon(index).acknowledge()

    @rule(index=which, processed=st.booleans())
    def flush(self, index: int, processed: bool) -> None:
        """Read, commit and acknowledge without a step in between.

        Only so do schedules get far enough for ids to be used again.
        """
        self.read(index, 60)
        self.write(index, 4)
        if processed:
            self.process(index, 100)

    @rule(index=which, most=st.integers(1, 40))
    def process(self, index: int, most: int) -> None:
        connection = self._daemon(index).connection
        if connection and connection.open:
            self.broker.process(connection, most)

    @rule(processed=few, delivered=few)
    def lose_the_network(self, processed: int, delivered: int) -> None:
        """Deliver a part of the packets and lose the rest."""
        connection = self.broker.connection
        if connection is None or not connection.open:
            return
        self.broker.process(connection, processed)
        connection.open = False
        while len(connection.down) > delivered:
            connection.down.pop()
        connection.up.clear()

    @rule(index=which)
    def kill(self, index: int) -> None:
        self.lost |= self._daemon(index).unreliable
        connection = self._daemon(index).connection
        if connection:
            connection.open = False
        self.daemons[self.daemons.index(self._daemon(index))] = Daemon(self.database)

    @precondition(lambda self: len(self.daemons) == 1)
    @rule()
    def start_a_second(self) -> None:
        self.daemons.append(Daemon(self.database))

    @precondition(lambda self: len(self.daemons) == 2)
    @rule()
    def end_the_fenced(self) -> None:
        for daemon in self.daemons:
            if daemon.fenced:
                self.lost |= daemon.unreliable
                self.daemons.remove(daemon)
                return

    @invariant()
    def nothing_is_counted_twice(self) -> None:
        assert not self.database.counts or max(self.database.counts.values()) == 1
        for daemon in self.daemons:
            self.received |= daemon.unreliable

    def teardown(self) -> None:
        try:
            self._everything_is_counted_once()
        finally:
            protocol.IDS, protocol.DEDUP_HORIZON = 65_535, 60_000

    def _everything_is_counted_once(self) -> None:
        newest = max(self.daemons, key=lambda daemon: daemon.epoch)
        for daemon in self.daemons:
            if daemon is not newest:
                daemon.cut()
                daemon.hand_over()
                daemon.commit()
                self.lost |= daemon.unreliable
        process_until_quiet(self.broker, newest)
        self.nothing_is_counted_twice()
        assert [m for m in self.reliable if not self.database.counts[m]] == []
        assert [m for m in self.received - self.lost if not self.database.counts[m]] == []


def schedules(count: int) -> settings:
    return settings(
        max_examples=count,
        stateful_step_count=80,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.explicit, Phase.generate],  # shrinking 80 steps takes minutes
        report_multiple_bugs=False,
    )
