"""The embedded broker, of either kind: it delivers, keeps sessions, and ends with its starter."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from fleetmeter.embedded import broker, brokers
from fleetmeter.embedded.broker import Broker
from fleetmeter.embedded.errors import BrokerError
from tests.support import programs

PATIENCE = 30.0
START = (
    "import sys, signal, pathlib; from fleetmeter.embedded import broker\n"
    "one = broker.start(pathlib.Path(sys.argv[1]), port=0, prefer=sys.argv[2])\n"
    "print(one.pid, one.url, flush=True); signal.pause()"
)
KINDS = [pytest.param("mosquitto", marks=pytest.mark.mosquitto), "iotcore"]
Starter = Callable[..., Broker]


@pytest.fixture(autouse=True)
def _require_mosquitto(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if request.node.get_closest_marker("mosquitto") and brokers.mosquitto(tmp_path) is None:
        programs.missing("mosquitto")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    started: list[Broker] = []

    def one(kind: str | None, port: int = 0) -> Broker:
        started.append(broker.start(tmp_path, port=port, prefer=kind))
        return started[-1]

    yield one
    for running in started:
        running.stop()


class Client:
    """A client with a persistent session that remembers what it received."""

    def __init__(self, url: str, name: str, expected: int = 0, acks: bool = True) -> None:
        self.received: list[mqtt.MQTTMessage] = []
        self.complete, self.subscribed = threading.Event(), threading.Event()
        self.expected = expected
        self.mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, name, clean_session=False, manual_ack=not acks)
        self.mqtt.max_inflight_messages_set(1000)
        self.mqtt.on_message = lambda _client, _data, message: self.remember(message)
        self.mqtt.on_subscribe = lambda *_: self.subscribed.set()
        self.mqtt.connect("127.0.0.1", urlsplit(url).port or 0)
        self.mqtt.loop_start()

    def remember(self, message: mqtt.MQTTMessage) -> None:
        self.received.append(message)
        if len(self.received) == self.expected:
            self.complete.set()

    def subscribe(self) -> "Client":
        self.mqtt.subscribe("roboticks/#", qos=1)
        assert self.subscribed.wait(PATIENCE)
        return self

    def publish(self, count: int) -> None:
        for number in range(count):
            message = self.mqtt.publish(f"roboticks/1/2/3/{number}", b"x", qos=1)
            if number % 10_000 == 9_999 or number == count - 1:
                message.wait_for_publish(PATIENCE)

    def awaited(self) -> set[str]:
        assert self.complete.wait(PATIENCE), f"{len(self.received)} of {self.expected} arrived"
        return {message.topic for message in self.received}

    def leave(self) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


def flood(url: str, count: int) -> None:
    """Publish `count` messages of QoS 1, byte by byte: a client library takes six times as long."""
    body = b"\x00\x0froboticks/1/2/3"
    size = bytes([len(body) + 2])
    packets = (b"\x32" + size + body + (n % 65_535 + 1).to_bytes(2, "big") for n in range(count))
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)) as line:
        line.settimeout(PATIENCE)
        line.sendall(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05flood" + b"".join(packets))
        answers = line.makefile("rb")
        assert len(answers.read(4 + 4 * count)) == 4 + 4 * count


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_published_is_delivered(start: Starter, kind: str) -> None:
    running = start(kind)
    assert running.alive
    assert running.name.startswith(f"{kind} ")
    receiver, sender = Client(running.url, "in", expected=500).subscribe(), Client(running.url, "out")
    sender.publish(500)
    assert len(receiver.awaited()) == 500
    sender.leave()
    receiver.leave()


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_outlives_its_client(start: Starter, kind: str) -> None:
    url = start(kind).url
    Client(url, "in").subscribe().leave()
    sender = Client(url, "out")
    sender.publish(2_000)
    sender.leave()
    returned = Client(url, "in", expected=2_000)
    assert len(returned.awaited()) == 2_000
    returned.leave()


@pytest.mark.mosquitto
def test_a_restarted_broker_still_has_its_queues(start: Starter) -> None:
    first = start("mosquitto")
    Client(first.url, "in").subscribe().leave()
    sender = Client(first.url, "out")
    sender.publish(2_000)
    sender.leave()
    first.stop()
    returned = Client(start("mosquitto").url, "in", expected=2_000)
    assert len(returned.awaited()) == 2_000
    returned.leave()


@pytest.mark.mosquitto
def test_no_packet_id_is_in_flight_twice(start: Starter) -> None:
    url = start("mosquitto").url
    Client(url, "in").subscribe().leave()
    flood(url, 66_000)
    hesitant = Client(url, "in", expected=65_534, acks=False)
    hesitant.awaited()
    assert len({message.mid for message in hesitant.received}) == 65_534
    hesitant.leave()


@pytest.mark.parametrize("kind", KINDS)
def test_stop_ends_the_process_and_frees_the_port(start: Starter, kind: str) -> None:
    running = start(kind)
    running.stop()
    running.stop()
    assert not running.alive
    assert not is_alive(running.pid)
    assert start(kind).url == running.url


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_broker_is_seen_and_can_be_started_again(start: Starter, kind: str) -> None:
    running = start(kind)
    os.kill(running.pid, signal.SIGKILL)
    running._watchdog.wait(PATIENCE)
    assert not running.alive
    assert start(kind).alive


@pytest.mark.parametrize("kind", KINDS)
def test_it_ends_with_a_starter_that_was_killed(tmp_path: Path, start: Starter, kind: str) -> None:
    command = [sys.executable, "-c", START, str(tmp_path), kind]
    starter = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert starter.stdout
    pid, url = starter.stdout.readline().split()
    assert is_alive(int(pid))
    starter.kill()
    starter.communicate()
    assert start(kind).url == url
    assert not is_alive(int(pid))


def test_a_taken_port_is_left_to_its_taker(start: Starter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        running = start("iotcore", port=port)
        assert urlsplit(running.url).port not in (port, None)
        assert running.alive


def test_a_second_broker_on_the_same_folder_is_refused(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start("iotcore")
    monkeypatch.setattr(broker, "_PATIENCE", 0.0)
    with pytest.raises(BrokerError, match=f"MQTT_URL={running.url}"):
        start("iotcore")
    assert running.alive


def test_a_mosquitto_that_does_not_start_gives_way(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    false = shutil.which("false")
    monkeypatch.setattr(shutil, "which", lambda *_args, **_options: false)
    assert start(None).name.startswith("iotcore ")


def test_an_unknown_broker_is_refused(start: Starter) -> None:
    with pytest.raises(BrokerError, match="mosquitto or iotcore"):
        start("pigeon")


@pytest.mark.mosquitto
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")
def test_for_root_mosquitto_runs_without_privileges(start: Starter) -> None:
    assert Path(f"/proc/{start('mosquitto').pid}").stat().st_uid != 0
