"""When the counter commits: once a second, when a burst is over, before a small window runs dry."""

from collectors.mqtt.flush_policy import BURST_BYTES, BURST_OVER_SECONDS, INTERVAL, STALL_SECONDS, FlushPolicy
from collectors.mqtt.session import CUT


def test_little_traffic_is_committed_once_a_second() -> None:
    policy = FlushPolicy()
    policy.flush_started(now=10, arrivals=5, silent_seconds=0)
    assert not policy.due(10.5, unsaved_bytes=100, silent_seconds=BURST_OVER_SECONDS)
    assert not policy.due(10 + INTERVAL, unsaved_bytes=0, silent_seconds=1)
    assert policy.due(10 + INTERVAL, unsaved_bytes=100, silent_seconds=0)


def test_a_burst_is_committed_when_it_is_over_and_not_in_its_midst() -> None:
    policy = FlushPolicy()
    policy.flush_started(now=10, arrivals=0, silent_seconds=0)
    assert not policy.due(10.2, unsaved_bytes=BURST_BYTES, silent_seconds=BURST_OVER_SECONDS / 2)
    assert policy.due(10.2, unsaved_bytes=BURST_BYTES, silent_seconds=BURST_OVER_SECONDS)
    assert not policy.due(10.2, unsaved_bytes=BURST_BYTES - 1, silent_seconds=BURST_OVER_SECONDS)


def test_a_broker_that_stops_twice_at_the_same_number_has_a_window_of_that_size() -> None:
    policy = FlushPolicy()
    assert policy.cut_at == CUT
    policy.flush_started(now=1, arrivals=100, silent_seconds=2 * STALL_SECONDS)
    policy.flush_started(now=2, arrivals=100, silent_seconds=2 * STALL_SECONDS)
    assert policy.cut_at == 50
    assert policy.small_window
    policy.flush_started(now=3, arrivals=101, silent_seconds=0)  # more than the window: it was not one
    assert policy.cut_at == CUT
