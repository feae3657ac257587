"""Brokers that differ: refused credentials, a small window, MQTT 3.1.1 only, TLS."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from collectors.mqtt import daemon
from fleetmeter.embedded import broker as embedded
from metering.config.settings import Settings
from metering.errors import SettingsError
from tests.support.mqtt_broker import Mosquitto, Publisher
from tests.support.mqtt_daemon import Running, connected, message_count
from tests.support.platform import Platform
from tests.support.until import until

Start = Callable[..., Running]


@pytest.fixture(params=["fast", "plain"])
def start(request: pytest.FixtureRequest, configured: Settings) -> Iterator[Start]:
    started: list[Running] = []

    def begin(url: str, **changes: object) -> Running:
        changed = configured.model_copy(update={"mqtt_url": SecretStr(url), **changes})
        started.append(Running(changed, plain=request.param == "plain"))
        return started[-1]

    yield begin
    for running in started:
        running.finish()


def a_topic(platform: Platform) -> str:
    organization = platform.organization()
    return f"roboticks/{organization}/{platform.project(organization)}/robot/state"


@pytest.mark.mosquitto
def test_refused_credentials_are_said_and_tried_again(
    platform: Platform, start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[str] = []

    def log() -> str:
        heard.append(capsys.readouterr().out)
        return "".join(heard)

    with Mosquitto(tmp_path, password="right") as broker:
        wrong = start(f"mqtt://counter:wrong-one@127.0.0.1:{broker.port}")
        until(lambda: "refused" in log(), 30)
        assert wrong.finish() == daemon.STOPPED
        assert "wrong-one" not in log()
        assert "Traceback" not in log()
        start(f"mqtt://counter:right@127.0.0.1:{broker.port}")
        until(lambda: connected(platform))


@pytest.mark.mosquitto
def test_a_small_window_does_not_stall(platform: Platform, start: Start, tmp_path: Path) -> None:
    """At one commit a second, a window of 20 would let 20 messages a second through."""
    topic = a_topic(platform)
    with Mosquitto(tmp_path, window=20, more="max_inflight_bytes 0") as broker:
        start(broker.url)
        until(lambda: connected(platform))
        publisher = Publisher(broker)
        publisher.send(topic, 3_000)
        publisher.wait()
        until(lambda: message_count(platform) == 3_000, 25)
        publisher.close()


def test_a_broker_of_mqtt_3_is_spoken_to_in_mqtt_3(platform: Platform, start: Start, tmp_path: Path) -> None:
    topic = a_topic(platform)
    broker = embedded.start(tmp_path, port=0, prefer="iotcore")
    try:
        start(broker.url)
        until(lambda: connected(platform))
        publisher = Publisher(int(broker.url.rpartition(":")[2]))
        publisher.send(topic, 200)
        publisher.wait()
        until(lambda: message_count(platform) == 200)
        publisher.close()
    finally:
        broker.stop()


@pytest.mark.mosquitto
def test_tls_with_a_client_certificate(platform: Platform, start: Start, tmp_path: Path) -> None:
    topic = a_topic(platform)
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*make, *names, *files], cwd=tmp_path, check=True, capture_output=True)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    listener = f"cafile {cert}\ncertfile {cert}\nkeyfile {key}\nrequire_certificate true"
    with Mosquitto(tmp_path, more=listener) as broker:
        url = f"mqtts://localhost:{broker.port}"
        start(url, mqtt_ca_file=cert, mqtt_cert_file=cert, mqtt_key_file=key)
        until(lambda: connected(platform))
        own = ["--cafile", cert, "--cert", cert, "--key", key, "-h", "localhost", "-p", str(broker.port)]
        lines = "\n".join("x" * 100 for _ in range(5_000))
        publish = ["mosquitto_pub", *own, "-t", topic, "-q", "1", "-l"]
        subprocess.run(publish, input=lines.encode(), check=True)
        until(lambda: message_count(platform) == 5_000)


def test_without_a_broker_to_connect_to_it_is_said(configured: Settings) -> None:
    with pytest.raises(SettingsError, match="MQTT_URL"):
        Running(configured).raise_if_failed()
