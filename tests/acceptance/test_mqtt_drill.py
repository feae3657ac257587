"""The drill finds no difference, whatever the seed."""

import os
from pathlib import Path

import pytest
from hypothesis.stateful import run_state_machine_as_test
from mqtt_broker import Mosquitto
from mqtt_schedules import ExactlyOnce, schedules
from sqlalchemy import URL

from fleetmeter import drill

SCHEDULES = int(os.environ.get("FLEETMETER_SCHEDULES", "5000"))
SECONDS = float(os.environ.get("FLEETMETER_DRILL_SECONDS", "60"))


@pytest.mark.drill
@pytest.mark.mosquitto
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_lost_or_counted_twice(empty_url: URL, tmp_path: Path, seed: int) -> None:
    with Mosquitto(tmp_path, window=65_534) as broker:
        outcome = drill.exercise(empty_url, broker.url, SECONDS, seed)
    drill.show(outcome)
    assert outcome.published > 1000
    assert len(outcome.faults) >= 4
    assert outcome.difference == 0


@pytest.mark.drill
@pytest.mark.timeout(3_000)
def test_thousands_of_schedules_of_the_model() -> None:
    run_state_machine_as_test(ExactlyOnce, settings=schedules(SCHEDULES))
