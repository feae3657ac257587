"""A counter moves to another client id while messages come, and each counts once."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from collectors.mqtt import daemon, move
from metering.config.settings import Settings
from metering.errors import MoveFailed, UnknownCounter
from tests.support.mqtt_broker import Mosquitto, Publisher
from tests.support.mqtt_daemon import Running, connected, message_count
from tests.support.platform import Platform
from tests.support.until import until

pytestmark = pytest.mark.mosquitto
FORMER = "fleetmeter-counter"
OPEN = "SELECT client_id FROM mqtt_sessions WHERE retired_at IS NULL"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
def settings(configured: Settings, broker: Mosquitto) -> Settings:
    return configured.model_copy(update={"mqtt_url": SecretStr(broker.url)})


@pytest.fixture
def topic(platform: Platform) -> str:
    organization = platform.organization()
    return f"roboticks/{organization}/{platform.project(organization)}/robot/state"


def publish(broker: Mosquitto, topic: str, count: int) -> None:
    publisher = Publisher(broker)
    publisher.send(topic, count)
    publisher.close()


def count_under_the_former_default(
    platform: Platform, settings: Settings, broker: Mosquitto, topic: str
) -> None:
    """An installation as it was before client ids were its own, with 700 messages waiting for it."""
    running = Running(settings.model_copy(update={"mqtt_client_id": FORMER}))
    until(lambda: connected(platform))
    publish(broker, topic, 300)
    until(lambda: message_count(platform) == 300)
    running.finish()
    publish(broker, topic, 700)


def test_an_upgrade_loses_nothing_that_was_queued(
    platform: Platform, settings: Settings, broker: Mosquitto, topic: str
) -> None:
    count_under_the_former_default(platform, settings, broker, topic)
    running = Running(settings)
    until(lambda: message_count(platform) == 1000)
    running.finish()
    assert platform.rows(OPEN) == [(FORMER,)]


def test_a_move_counts_each_message_once_while_messages_come(
    platform: Platform,
    settings: Settings,
    broker: Mosquitto,
    topic: str,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(daemon, "STANDBY_POLL", 0.1)
    count_under_the_former_default(platform, settings, broker, topic)
    running = Running(settings)
    until(lambda: connected(platform))
    published, stop = [0], threading.Event()

    def keep_publishing() -> None:
        while not stop.is_set():
            publish(broker, topic, 50)
            published[0] += 50

    thread = threading.Thread(target=keep_publishing)
    thread.start()
    try:
        new_id = move.run(settings, engine, FORMER, "ada@cli", lambda: datetime.now(UTC))
        until(lambda: platform.rows(OPEN) == [(new_id,)] and connected(platform))
        until(lambda: message_count(platform) > 1500)
    finally:
        stop.set()
        thread.join()
    until(lambda: message_count(platform) >= 1000 + published[0])
    running.finish()
    assert message_count(platform) == 1000 + published[0]
    assert new_id == platform.scalar("SELECT client_id FROM installation")
    assert platform.rows("SELECT * FROM gaps") == []
    with pytest.raises(UnknownCounter, match="retired since"):
        move.run(settings, engine, FORMER, "ada@cli", lambda: datetime.now(UTC))


def test_a_member_of_a_shared_group_moves_with_what_waits_for_it(
    platform: Platform, settings: Settings, broker: Mosquitto, topic: str, engine: Engine
) -> None:
    group = settings.model_copy(update={"mqtt_shared_group": "meters"})
    members = [Running(group.model_copy(update={"mqtt_client_id": f"slot-{n}"})) for n in (1, 2)]
    connected_members = "SELECT count(*) FROM mqtt_sessions WHERE connected"
    until(lambda: platform.scalar(connected_members) == 2)
    members[1].finish()
    publish(broker, topic, 400)
    successor = group.model_copy(update={"mqtt_client_id": "slot-3"})
    assert move.run(successor, engine, "slot-2", "ada@cli", lambda: datetime.now(UTC)) == "slot-3"
    publish(broker, topic, 400)
    third = Running(successor)
    until(lambda: message_count(platform) >= 800)
    for running in (members[0], third):
        running.finish()
    assert message_count(platform) == 800


@pytest.mark.drill
def test_a_move_that_cannot_mark_leaves_everything_as_it_was(
    platform: Platform, configured: Settings, tmp_path: Path, topic: str, engine: Engine
) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite roboticks/#\n")
    rules.chmod(0o644)
    with Mosquitto(tmp_path, more=f"acl_file {rules}") as broker:
        settings = configured.model_copy(update={"mqtt_url": SecretStr(broker.url)})
        count_under_the_former_default(platform, settings, broker, topic)
        with pytest.raises(MoveFailed, match="fleetmeter-doctor/#"):
            move.run(settings, engine, FORMER, "ada@cli", lambda: datetime.now(UTC))
        assert platform.rows(OPEN) == [(FORMER,)]
        running = Running(settings)
        until(lambda: message_count(platform) == 1000)
        running.finish()
