"""The daemon against a real mosquitto and a real PostgreSQL: each message counts once."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from collectors.mqtt import counters, daemon, reader
from collectors.mqtt.store import Store
from collectors.mqtt.totals import Totals
from metering.config.settings import Settings
from metering.errors import DatabaseUnavailable
from tests.support.mqtt_broker import Mosquitto, Publisher
from tests.support.mqtt_daemon import Running, connected, message_count
from tests.support.platform import Platform
from tests.support.until import until

pytestmark = pytest.mark.mosquitto


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
def settings(configured: Settings, broker: Mosquitto) -> Settings:
    return configured.model_copy(update={"mqtt_url": SecretStr(broker.url)})


@pytest.fixture(params=["fast", "plain"])
def plain(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "plain")


@pytest.fixture
def start(settings: Settings, plain: bool) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def begin(**changes: object) -> Running:
        started.append(Running(settings.model_copy(update=changes), plain))
        return started[-1]

    yield begin
    for running in started:
        running.finish()


@pytest.fixture
def publisher(broker: Mosquitto) -> Iterator[Publisher]:
    publisher = Publisher(broker)
    yield publisher
    publisher.close()


def test_directions_bytes_and_hours_are_counted(
    platform: Platform, start: Callable[..., Running], publisher: Publisher
) -> None:
    organization = platform.organization()
    project = platform.project(organization)
    running = start()
    until(lambda: connected(platform))
    base = f"roboticks/{organization}/{project}/robot-1"
    publisher.send(f"{base}/telemetry", 5, qos=0, size=7)
    publisher.send(f"{base}/telemetry", 6, qos=1, size=300)
    publisher.send(f"{base}/commands/stop", 4, qos=2, size=11)
    publisher.wait()
    until(lambda: message_count(platform) == 15)
    assert running.finish() == daemon.STOPPED
    columns = "mqtt_inbound, mqtt_outbound, mqtt_inbound_bytes, mqtt_outbound_bytes"
    for table in ("project_stats", "usage_hourly"):
        assert platform.rows(f"SELECT {columns} FROM {table}") == [(11, 4, 1835, 44)]
    assert platform.rows("SELECT connected FROM mqtt_sessions") == [(False,)]
    assert platform.rows("SELECT name FROM workers") == []


def test_what_came_while_the_daemon_was_off_is_counted_once(
    platform: Platform, start: Callable[..., Running], publisher: Publisher
) -> None:
    organization = platform.organization()
    topic = f"roboticks/{organization}/{platform.project(organization)}/robot/state"
    for total in (300, 600, 900):
        running = start()
        until(lambda: connected(platform))
        assert running.finish() == daemon.STOPPED
        publisher.send(topic, 300)
        publisher.wait()
        running = start()
        until(lambda total=total: message_count(platform) == total)  # type: ignore[misc]
        running.finish()
    assert message_count(platform) == 900
    assert platform.rows("SELECT * FROM gaps") == []


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("roboticks", "malformed_topic"),
        ("roboticks/1", "malformed_topic"),
        ("roboticks/1//r/x", "malformed_topic"),
        ("roboticks/one/2/r/x", "malformed_topic"),
        (f"roboticks/1/{10**30}/r/x", "malformed_topic"),
        ("roboticks/1/٣/r/x", "malformed_topic"),
        ("roboticks/1/999999/" + "x" * 60_000, "unknown_project"),
    ],
)
def test_what_names_no_project_has_its_counted_place(
    platform: Platform, start: Callable[..., Running], publisher: Publisher, topic: str, reason: str
) -> None:
    start()
    until(lambda: connected(platform))
    publisher.send(topic, 3)
    publisher.wait()
    query = "SELECT reason, messages, length(sample_topics[1]) <= 200 FROM unattributed_messages"
    until(lambda: platform.rows(query) == [(reason, 3, True)])


def test_retained_replays_are_not_usage_and_live_retained_publishes_are(
    platform: Platform, start: Callable[..., Running], publisher: Publisher
) -> None:
    organization = platform.organization()
    topic = f"roboticks/{organization}/{platform.project(organization)}/robot/state"
    publisher.send(topic, 1, retain=True)
    publisher.wait()
    running = start()
    until(lambda: connected(platform))
    publisher.send(topic, 2, retain=True)
    publisher.wait()
    until(lambda: message_count(platform) >= 2)
    running.finish()
    assert message_count(platform) == 2


def test_the_broker_may_come_later_go_and_come_back(
    platform: Platform,
    start: Callable[..., Running],
    broker: Mosquitto,
    capfd: pytest.CaptureFixture[str],
) -> None:
    organization = platform.organization()
    topic = f"roboticks/{organization}/{platform.project(organization)}/robot/state"
    broker.stop()
    start()
    until(lambda: "broker.disconnected" in capfd.readouterr().out)
    for round_ in (1, 2):
        broker.start()
        until(lambda: connected(platform))
        publisher = Publisher(broker)
        publisher.send(topic, 100)
        publisher.wait()
        publisher.close()
        until(lambda round_=round_: message_count(platform) == 100 * round_)  # type: ignore[misc]
        broker.stop()
    assert platform.rows("SELECT * FROM gaps") == []


def test_a_lost_session_is_a_gap(
    platform: Platform, start: Callable[..., Running], broker: Mosquitto
) -> None:
    start()
    until(lambda: connected(platform))
    broker.stop(kill=True)
    (broker.folder / "mosquitto.db").unlink(missing_ok=True)
    broker.start()
    until(lambda: bool(platform.rows("SELECT * FROM gaps")))
    [(source, reason, length)] = platform.rows(
        "SELECT source, reason, extract(epoch FROM ends_at - starts_at) FROM gaps"
    )
    assert (source, reason) == ("mqtt", "the broker lost the session")
    assert 0 < length < 10


def test_a_second_daemon_replaces_the_first_which_takes_over_again(
    platform: Platform,
    start: Callable[..., Running],
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(daemon, "STANDBY_POLL", 0.1)
    organization = platform.organization()
    topic = f"roboticks/{organization}/{platform.project(organization)}/robot/state"
    epoch = "SELECT epoch FROM mqtt_sessions"
    first = start()
    until(lambda: connected(platform))
    publisher.send(topic, 500)
    second = start()
    publisher.send(topic, 500)
    publisher.wait()
    until(lambda: platform.scalar(epoch) == 2 and connected(platform))
    until(lambda: message_count(platform) >= 1000)
    assert second.finish() == daemon.STOPPED
    until(lambda: platform.scalar(epoch) == 3 and connected(platform))
    publisher.send(topic, 500)
    publisher.wait()
    until(lambda: message_count(platform) >= 1500)
    assert first.finish() == daemon.STOPPED
    assert message_count(platform) == 1500
    assert platform.rows("SELECT * FROM gaps") == []


def test_a_shared_group_counts_each_message_once(
    platform: Platform, start: Callable[..., Running], publisher: Publisher
) -> None:
    organization = platform.organization()
    topic = f"roboticks/{organization}/{platform.project(organization)}/robot/state"
    running = [start(mqtt_shared_group="meters", mqtt_client_id=f"slot-{n}") for n in (1, 2)]
    until(lambda: platform.scalar("SELECT count(*) FROM mqtt_sessions WHERE connected") == 2)
    publisher.send(topic, 400)
    publisher.wait()
    running[0].finish()
    publisher.send(topic, 400)
    publisher.wait()
    start(mqtt_shared_group="meters", mqtt_client_id="slot-1")
    until(lambda: message_count(platform) == 800)


def test_the_database_may_go_and_come_back(
    platform: Platform, start: Callable[..., Running], publisher: Publisher, engine: Engine
) -> None:
    organization = platform.organization()
    topic = f"roboticks/{organization}/{platform.project(organization)}/robot/state"
    running = start()
    until(lambda: connected(platform))
    for total in (200, 400, 600):
        publisher.send(topic, 100, qos=1)
        publisher.send(topic, 100, qos=0)
        publisher.wait()
        platform.sql("""
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()""")
        until(lambda total=total: message_count(platform) == total)  # type: ignore[misc]
    running.finish()
    assert message_count(platform) == 600


@pytest.mark.drill
def test_memory_is_bounded_while_the_database_is_away(
    platform: Platform,
    start: Callable[..., Running],
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading stops before memory grows, and goes on by itself."""
    organization = platform.organization()
    platform.project(organization)
    away, sizes, refused, commit = threading.Event(), [], [], Store.commit

    def refusing(store: Store, totals: Totals, last: int | None, flush: int, *more: Any) -> datetime:
        sizes.append(len(totals.projects))
        if away.is_set():
            refused.append(flush)
            raise DatabaseUnavailable("away for the test")
        return commit(store, totals, last, flush, *more)

    monkeypatch.setattr(counters, "MAX_PROJECTS", 50)
    monkeypatch.setattr(reader, "MAX_READ", 2_000)
    monkeypatch.setattr(Store, "commit", refusing)
    start()
    until(lambda: connected(platform))
    away.set()
    for number in range(1, 3_001):
        publisher.send(f"roboticks/{organization}/{number}/robot/state", 1, size=50)
    publisher.wait()
    until(lambda: len(refused) >= 4)
    away.clear()
    until(lambda: message_count(platform) == 3_000, 30)
    assert max(sizes) < 50 + 500


def test_an_unexpected_error_of_the_writing_thread_ends_the_daemon(settings: Settings) -> None:
    """A daemon that reads and never writes would look alive and lose everything."""

    def clock() -> datetime:
        if threading.current_thread().name.startswith("writer"):
            raise UnicodeError("not foreseen")
        return datetime.now(UTC)

    running = Running(settings, clock=clock)
    with pytest.raises(UnicodeError, match="not foreseen"):
        running.raise_if_failed()
