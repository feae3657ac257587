"""What looks like another client under our id: the broker ends our connections again and again."""

from collectors.mqtt.takeover import CALM_SECONDS, MAX_SHORT, SHORT_SECONDS, TakeoverDetector


def ended(detector: TakeoverDetector, at: float, lasted: float, by_broker: bool = True) -> None:
    detector.connection_ended(at - lasted, at, by_broker)


def test_one_long_connection_and_then_short_ones_are_a_takeover_since_the_long_one_ended() -> None:
    detector = TakeoverDetector()
    ended(detector, 5_000, 5_000)
    for number in range(MAX_SHORT):
        assert not detector.detected
        ended(detector, 5_001 + number, 0.5)
    assert detector.detected
    assert detector.since == 5_000


def test_a_broker_that_restarts_now_and_then_is_none() -> None:
    detector = TakeoverDetector()
    for number in range(20):
        ended(detector, 100 * number, SHORT_SECONDS + 1)
    assert not detector.detected


def test_connections_that_we_end_are_none() -> None:
    detector = TakeoverDetector()
    for number in range(20):
        ended(detector, number, 0.5, by_broker=number % 2 == 0)
    assert not detector.detected


def test_it_is_over_once_a_connection_lasts() -> None:
    detector = TakeoverDetector()
    for number in range(MAX_SHORT):
        ended(detector, number, 0.5)
    assert not detector.is_calm(10, 10 + CALM_SECONDS / 2)
    assert detector.is_calm(10, 11 + CALM_SECONDS)
    assert not detector.detected
    assert not detector.is_calm(10, 12 + CALM_SECONDS)
