"""Exactly once, model-checked; and the cases that random schedules seldom reach."""

import pytest

from collectors.mqtt import session as protocol
from tests.support.mqtt_model import Broker, Daemon, Database, process_until_quiet
from tests.support.mqtt_schedules import DEDUP_HORIZON, IDS, ExactlyOnce, schedules

TestExactlyOnce = ExactlyOnce.TestCase
TestExactlyOnce.settings = schedules(100)


def small_cycle(monkeypatch: pytest.MonkeyPatch) -> tuple[Broker, Database]:
    monkeypatch.setattr(protocol, "IDS", IDS)
    monkeypatch.setattr(protocol, "DEDUP_HORIZON", DEDUP_HORIZON)
    return Broker(window=IDS), Database()


def commit_all(daemon: Daemon) -> None:
    for _ in range(IDS):
        daemon.cut()
        daemon.hand_over()
        daemon.commit()
        daemon.acknowledge()


def test_a_full_window_that_nobody_acknowledged_is_not_committed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ids more than the reach behind would be taken for new ones after a crash."""
    broker, database = small_cycle(monkeypatch)
    daemon = Daemon(database)
    daemon.check_epoch()
    daemon.connect(broker)
    broker.queue.extend(range(IDS))
    broker.send()
    daemon.read(IDS)
    commit_all(daemon)
    assert 30 <= sum(database.counts.values()) < DEDUP_HORIZON
    successor = Daemon(database)
    process_until_quiet(broker, successor)
    assert database.counts == dict.fromkeys(range(IDS), 1)


def test_a_message_that_comes_twice_on_one_connection_counts_once() -> None:
    session = protocol.Session(None)
    session.connected(True)
    session.arrivals.extend([b"\0\1", b"\0\2"])
    assert not session.is_new(b"\0\2", dup=True)
    cut = session.cut()
    assert cut.packet_ids == (b"\0\1", b"\0\2", b"\0\2")
    session.committing(cut)
    assert session.committed(cut) == cut.packet_ids
    assert not session.is_new(b"\0\1", dup=True)
    session.committing(again := session.cut())
    session.committed(again)
    session.confirmed(session.acknowledged)
    assert session.is_new(b"\0\1", dup=True)


def test_ids_ahead_of_the_last_counted_one_are_new_even_after_a_jump() -> None:
    session = protocol.Session(500)
    session.connected(True)
    behind = [session.is_new(number.to_bytes(2, "big"), dup=True) for number in (498, 499)]
    ahead = [session.is_new(number.to_bytes(2, "big"), dup=True) for number in (9_000, 9_001)]
    assert (behind, ahead) == ([False, False], [True, True])
    assert session.cut().last == 9_001


def test_what_came_by_a_lost_connection_is_not_acknowledged_on_the_next_one() -> None:
    """The broker may have given its packet id to another message by then."""
    session = protocol.Session(None)
    session.connected(True)
    session.arrivals.append(b"\0\1")
    session.committing(cut := session.cut())
    session.connected(True)
    assert session.committed(cut) == ()
    assert session.unconfirmed == 0
