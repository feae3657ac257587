"""What the doctor learns of a broker, from brokers that are right and brokers that are not."""

import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from collectors.mqtt.diagnostics import checks
from collectors.mqtt.diagnostics.checks import CheckResult
from fleetmeter.embedded import broker as embedded
from metering.catalogue import brokers
from metering.config.settings import Settings
from tests.support.mqtt_broker import Mosquitto, Publisher
from tests.support.mqtt_daemon import Running, connected, message_count
from tests.support.platform import Platform
from tests.support.until import until

Examine = Callable[..., dict[str, CheckResult]]


@pytest.fixture
def examine(monkeypatch: pytest.MonkeyPatch) -> Examine:
    monkeypatch.setattr(checks, "TRAFFIC_TIMEOUT", 0.2)

    def examine(url: str, **more: object) -> dict[str, CheckResult]:
        settings = Settings(mqtt_url=SecretStr(url)).model_copy(update=more)
        return {result.checked: result for result in checks.examine(settings)}

    return examine


@pytest.mark.mosquitto
def test_a_broker_that_a_counter_may_rely_on(tmp_path: Path, examine: Examine) -> None:
    with Mosquitto(tmp_path) as broker:
        answers = examine(broker.url)
    assert all(answer.ok for answer in answers.values())
    assert "MQTT 5" in answers["broker"].message
    assert "mosquitto" in answers["broker's version"].message
    assert "kept 1,200" in answers["queue"].message
    assert answers["window"].advice == ""
    assert "in order, marked DUP" in answers["redelivery"].message


@pytest.mark.mosquitto
def test_a_queue_that_drops_what_was_accepted_is_found(tmp_path: Path, examine: Examine) -> None:
    with Mosquitto(tmp_path, queued=1000, more="sys_interval 1") as broker:
        queue = examine(broker.url)["queue"]
        assert not queue.ok
        assert "max_queued_messages" in queue.advice
        until(lambda: "dropped" in examine(broker.url), 30)


@pytest.mark.mosquitto
def test_nothing_of_the_counters_is_touched_and_nothing_counted(
    platform: Platform, configured: Settings, tmp_path: Path, examine: Examine
) -> None:
    organization = platform.organization()
    topic = f"roboticks/{organization}/{platform.project(organization)}/robot/state"
    with Mosquitto(tmp_path) as broker:
        running = Running(configured.model_copy(update={"mqtt_url": SecretStr(broker.url)}))
        until(lambda: connected(platform))
        publisher = Publisher(broker)
        publisher.send(topic, 10, retain=True)
        publisher.wait()
        assert "arrive" in examine(broker.url)["topic root"].message
        publisher.send(topic, 10)
        publisher.close()
        until(lambda: message_count(platform) == 20)
        running.finish()
        broker.stop()  # it saves its sessions
        log = (broker.folder / "mosquitto.log").read_text()
    client_id = platform.scalar("SELECT client_id FROM mqtt_sessions")
    assert log.count(f"as {client_id} (") == 2  # once before the claim, and once to count
    assert "doctor" not in (broker.folder / "mosquitto.db").read_bytes().decode(errors="replace")


@pytest.mark.mosquitto
def test_who_is_shut_out_is_told_why(tmp_path: Path, examine: Examine) -> None:
    with Mosquitto(tmp_path, password="right") as broker:
        refused = examine(f"mqtt://counter:wrong-one@127.0.0.1:{broker.port}")["broker"]
        encrypted = examine(f"mqtts://counter:right@127.0.0.1:{broker.port}")["broker"]
        admitted = examine(f"mqtt://counter:right@127.0.0.1:{broker.port}")["broker"]
    assert (refused.ok, encrypted.ok, admitted.ok) == (False, False, True)
    assert "password" in refused.advice
    assert "wrong-one" not in refused.message + refused.advice
    assert "as counter" in admitted.message
    absent = examine(broker.url)["broker"]
    assert "cannot be reached" in absent.message


@pytest.mark.mosquitto
def test_an_access_list_that_forbids_the_trial_is_no_fault(tmp_path: Path, examine: Examine) -> None:
    rights = tmp_path / "acl"
    rights.write_text("topic read roboticks/#\n")
    rights.chmod(0o644)
    with Mosquitto(tmp_path, more=f"acl_file {rights}") as broker:
        answers = examine(broker.url)
    assert answers["session"].ok
    assert answers["queue"].ok
    assert "fleetmeter-doctor/#" in answers["queue"].advice


@pytest.mark.mosquitto
def test_trust_in_tls_is_told_from_absence(tmp_path: Path, examine: Examine) -> None:
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*make, *names, *files], cwd=tmp_path, check=True, capture_output=True)
    cert = tmp_path / "cert.pem"
    listener = f"cafile {cert}\ncertfile {cert}\nkeyfile {tmp_path / 'key.pem'}"
    with Mosquitto(tmp_path, more=listener) as broker:
        url = f"mqtts://localhost:{broker.port}"
        assert "MQTT_CA_FILE" in examine(url)["broker"].advice
        assert "over TLS" in examine(url, mqtt_ca_file=cert)["broker"].message
        missing = examine(url, mqtt_ca_file=tmp_path / "absent.pem")["broker"]
    assert not missing.ok
    assert "read" in missing.message


def test_a_broker_of_mqtt_3(tmp_path: Path, examine: Examine) -> None:
    broker = embedded.start(tmp_path, port=0, prefer="iotcore")
    try:
        answers = examine(broker.url)
    finally:
        broker.stop()
    assert "MQTT 3.1.1" in answers["broker"].message
    assert answers["session"].ok
    assert "max_inflight_messages" in answers["window"].advice
    assert not answers["redelivery"].ok
    assert "docs/brokers.md" in answers["redelivery"].advice


def test_whatever_else_answers_on_that_port_is_no_broker(examine: Examine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            for _ in range(2):
                with server.accept()[0] as client:
                    client.sendall(b"220 mail.example.com ESMTP\r\n")
                    client.recv(1000)

        threading.Thread(target=greet, daemon=True).start()
        answer = examine(f"mqtt://127.0.0.1:{server.getsockname()[1]}")["broker"]
    assert not answer.ok
    assert "Traceback" not in answer.message


@pytest.mark.mosquitto
def test_on_aws_iot_core_the_trial_stays_below_its_limit_and_the_count_is_called_approximate(
    tmp_path: Path, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is what tells it; the broker behind the name is mosquitto here."""
    monkeypatch.setattr(brokers, "AWS_IOT_DOMAINS", ("127.0.0.1",))
    monkeypatch.setattr(brokers, "AWS_IOT_LABEL", "")
    with Mosquitto(tmp_path) as broker:
        answers = examine(broker.url)
    assert "of 50 messages" in answers["queue"].message
    assert "approximate" in answers["redelivery"].message
