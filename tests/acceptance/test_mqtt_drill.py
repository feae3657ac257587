"""The drill finds no difference, whatever the seed."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis.stateful import run_state_machine_as_test
from pydantic import SecretStr
from sqlalchemy import URL

from collectors.mqtt import endpoint
from fleetmeter.drill import drill
from metering.config.settings import Settings
from tests.support.mqtt_broker import Mosquitto
from tests.support.mqtt_schedules import ExactlyOnce, schedules

SCHEDULES = int(os.environ.get("FLEETMETER_SCHEDULES", "5000"))
SECONDS = float(os.environ.get("FLEETMETER_DRILL_SECONDS", "60"))


@pytest.mark.drill
@pytest.mark.mosquitto
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_lost_or_counted_twice(empty_url: URL, tmp_path: Path, seed: int) -> None:
    with Mosquitto(tmp_path, window=65_534) as broker:
        result = drill.exercise(
            empty_url, endpoint.from_settings(Settings(mqtt_url=SecretStr(broker.url))), SECONDS, seed
        )
    result.show()
    assert result.published > 1000
    assert len(result.faults) >= 4
    assert result.difference == 0


@pytest.mark.drill
@pytest.mark.mosquitto
@pytest.mark.parametrize("daemons", [2, 4])
def test_a_shared_group_whose_members_leave_and_come_back(
    empty_url: URL, tmp_path: Path, daemons: int
) -> None:
    with Mosquitto(tmp_path, window=65_534) as broker:
        to = endpoint.from_settings(Settings(mqtt_url=SecretStr(broker.url)))
        result = drill.exercise(empty_url, to, SECONDS, seed=10 + daemons, daemons=daemons)
    result.show()
    assert result.published > 1000
    assert result.faults["leave"] > 0
    assert result.difference == 0


@pytest.mark.drill
@pytest.mark.mosquitto
def test_on_a_broker_of_ones_own_with_tls_and_a_password(empty_url: URL, tmp_path: Path) -> None:
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*make, *files], cwd=tmp_path, check=True, capture_output=True)
    cert = tmp_path / "cert.pem"
    more = f"cafile {cert}\ncertfile {cert}\nkeyfile {tmp_path / 'key.pem'}"
    with Mosquitto(tmp_path, window=65_534, more=more, password="p@ss:/word") as broker:
        url = f"mqtts://counter:p%40ss%3A%2Fword@localhost:{broker.port}"
        to = endpoint.from_settings(Settings(mqtt_url=SecretStr(url), mqtt_ca_file=cert))
        result = drill.exercise(empty_url, to, SECONDS / 2, seed=4)
    result.show()
    assert result.published > 1000
    assert result.difference == 0


@pytest.mark.drill
@pytest.mark.timeout(3_000)
def test_thousands_of_schedules_of_the_model() -> None:
    run_state_machine_as_test(ExactlyOnce, settings=schedules(SCHEDULES))
