"""Who may read a counter's session: one daemon at a time, and nobody else without a notice."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import SecretStr

from collectors.mqtt import daemon, takeover
from metering.config.settings import Settings
from tests.support.mqtt_broker import Mosquitto, Publisher
from tests.support.mqtt_daemon import Running, connected, message_count
from tests.support.platform import Platform
from tests.support.until import until

pytestmark = pytest.mark.mosquitto
OWNER = "SELECT epoch FROM mqtt_sessions"
GAPS = "SELECT client_id, ends_at IS NULL FROM gaps WHERE kind = 'taken_over'"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
def settings(configured: Settings, broker: Mosquitto) -> Settings:
    return configured.model_copy(update={"mqtt_url": SecretStr(broker.url)})


@pytest.fixture
def running(settings: Settings, platform: Platform) -> Iterator[Running]:
    running = Running(settings)
    until(lambda: connected(platform))
    yield running
    running.finish()


class Intruder:
    """A client that connects under the counter's client id, again whenever it is thrown out."""

    def __init__(self, broker: Mosquitto, client_id: str) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
        self._client.reconnect_delay_set(min_delay=0.05, max_delay=0.05)
        self._port = broker.port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            with contextlib.suppress(OSError):
                if not self._client.is_connected():
                    self._client.connect("127.0.0.1", self._port)
                self._client.loop(0.1)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._client.disconnect()


def test_a_daemon_that_cannot_connect_takes_nothing_from_a_healthy_one(
    platform: Platform, settings: Settings, running: Running, broker: Mosquitto
) -> None:
    organization = platform.organization()
    topic = f"roboticks/{organization}/{platform.project(organization)}/robot/state"
    misconfigured = Running(
        settings.model_copy(update={"mqtt_url": SecretStr("mqtt://wrong:pw@127.0.0.1:1")})
    )
    publisher = Publisher(broker)
    publisher.send(topic, 100)
    publisher.close()
    until(lambda: message_count(platform) == 100)
    assert misconfigured.finish() == daemon.STOPPED
    assert platform.rows(OWNER) == [(1,)]


def test_another_client_under_the_same_id_is_a_gap_until_it_leaves(
    platform: Platform, running: Running, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover, "CALM_SECONDS", 1.0)
    client_id = platform.scalar("SELECT client_id FROM mqtt_sessions")
    intruder = Intruder(broker, client_id)
    until(lambda: platform.rows(GAPS) == [(client_id, True)], 60)
    intruder.stop()
    until(lambda: platform.rows(GAPS) == [(client_id, False)], 60)


def test_the_client_id_is_the_installations_own_and_cannot_be_guessed(
    platform: Platform, running: Running
) -> None:
    [client_id] = [row[0] for row in platform.rows("SELECT client_id FROM mqtt_sessions")]
    assert client_id == platform.scalar("SELECT client_id FROM installation")
    assert client_id.startswith("fleetmeter-")
    assert len(client_id) == 23


def test_an_installation_that_counted_under_the_former_default_keeps_it(
    platform: Platform, settings: Settings
) -> None:
    platform.sql(
        "INSERT INTO mqtt_sessions (client_id, session_started_at) VALUES ('fleetmeter-counter', now())"
    )
    running = Running(settings)
    until(lambda: connected(platform))
    running.finish()
    assert platform.rows("SELECT client_id FROM mqtt_sessions") == [("fleetmeter-counter",)]
