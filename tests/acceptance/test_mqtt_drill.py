"""The drill finds no difference, whatever the seed."""

import os
from pathlib import Path

import pytest
from mqtt_broker import Mosquitto
from sqlalchemy import URL

from fleetmeter import drill

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
