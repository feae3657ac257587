"""When the counter commits: once a second, when a burst is over, before a small window runs dry."""

from collectors.mqtt.flush_policy import BURST, INTERVAL, OVER, SILENCE, FlushPolicy
from collectors.mqtt.session import CUT


def test_little_traffic_is_committed_once_a_second() -> None:
    pace = FlushPolicy()
    pace.cut(now=10, arrivals=5, silent=0)
    assert not pace.due(10.5, unsaved=100, silent=OVER)
    assert not pace.due(10 + INTERVAL, unsaved=0, silent=1)
    assert pace.due(10 + INTERVAL, unsaved=100, silent=0)


def test_a_burst_is_committed_when_it_is_over_and_not_in_its_midst() -> None:
    pace = FlushPolicy()
    pace.cut(now=10, arrivals=0, silent=0)
    assert not pace.due(10.2, unsaved=BURST, silent=OVER / 2)
    assert pace.due(10.2, unsaved=BURST, silent=OVER)
    assert not pace.due(10.2, unsaved=BURST - 1, silent=OVER)


def test_a_broker_that_stops_twice_at_the_same_number_has_a_window_of_that_size() -> None:
    pace = FlushPolicy()
    assert pace.cut_at == CUT
    pace.cut(now=1, arrivals=100, silent=2 * SILENCE)
    pace.cut(now=2, arrivals=100, silent=2 * SILENCE)
    assert pace.cut_at == 50
    assert pace.narrow
    pace.cut(now=3, arrivals=101, silent=0)  # more than the window: it was not one
    assert pace.cut_at == CUT
