"""A counter whose host has the wrong time counts in the right hour."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from metering.catalogue.periods import Hour
from metering.config.settings import Settings
from tests.support.mqtt_broker import Mosquitto, Publisher
from tests.support.mqtt_daemon import Running, connected, message_count
from tests.support.platform import Platform
from tests.support.until import until

pytestmark = pytest.mark.mosquitto
HOURS = "SELECT hour FROM usage_hourly ORDER BY hour"


class ShiftedClock:
    """The host's clock, with an error that a test sets."""

    def __init__(self) -> None:
        self.error = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.error


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
def topic(platform: Platform) -> str:
    organization = platform.organization()
    created_at = datetime.now(UTC) - timedelta(days=90)
    return f"roboticks/{organization}/{platform.project(organization, created_at=created_at)}/robot/state"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


def start(configured: Settings, broker: Mosquitto, clock: ShiftedClock, **changes: object) -> Running:
    settings = configured.model_copy(update={"mqtt_url": SecretStr(broker.url), **changes})
    return Running(settings, clock=clock)


def publish(broker: Mosquitto, topic: str, count: int) -> None:
    publisher = Publisher(broker)
    publisher.send(topic, count)
    publisher.close()


@pytest.mark.parametrize("error", [timedelta(days=40), timedelta(hours=-3)])
def test_messages_count_by_the_databases_clock_while_the_hosts_is_wrong(
    platform: Platform,
    configured: Settings,
    broker: Mosquitto,
    clock: ShiftedClock,
    topic: str,
    error: timedelta,
) -> None:
    clock.error = error
    before = Hour.of(datetime.now(UTC)).start
    running = start(configured, broker, clock)
    until(lambda: connected(platform))
    publish(broker, topic, 5)
    until(lambda: message_count(platform) == 5)
    off = "SELECT CAST(figures->>'clock_difference_seconds' AS double precision) FROM workers"
    until(lambda: abs((platform.scalar(off) or 0) - error.total_seconds()) < 5)
    running.finish()
    [(hour,)] = platform.rows(HOURS)
    assert before <= hour <= Hour.of(datetime.now(UTC)).start
    [(last_seen_at,)] = platform.rows("SELECT last_seen_at FROM mqtt_sessions")
    assert abs(last_seen_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_clock_that_jumps_ahead_and_back_counts_in_the_right_hour_from_the_next_message_on(
    platform: Platform, configured: Settings, broker: Mosquitto, clock: ShiftedClock, topic: str
) -> None:
    """The tolerance is set above the jump, so the wrong time is believed while it lasts."""
    running = start(configured, broker, clock, clock_tolerance=1e6)
    until(lambda: connected(platform))
    clock.error = timedelta(hours=5)
    publish(broker, topic, 1)
    until(lambda: message_count(platform) == 1)
    clock.error = timedelta()
    publish(broker, topic, 1)
    until(lambda: message_count(platform) == 2)
    running.finish()
    (right,), (wrong,) = platform.rows(HOURS)
    assert wrong - right in (timedelta(hours=5), timedelta(hours=4), timedelta(hours=6))
    assert right <= datetime.now(UTC)
