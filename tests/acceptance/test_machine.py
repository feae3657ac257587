"""What commands start on a machine, and what they leave running."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fleetmeter.demo import running
from fleetmeter.embedded import postgres
from tests.support.until import until

PREFIXES = ("DATABASE_", "DB_", "MQTT_", "AWS_", "S3_", "ECR_", "FLEETMETER_")
READING = (
    ("status",),
    ("doctor",),
    ("missing",),
    ("coverage", "1", "2026-11-01"),
    ("month", "2026-11"),
    ("explain", "1", "2026-11"),
    ("spend",),
    ("alerts",),
    ("jobs",),
    ("counters",),
    ("verify",),
    ("export", "monthly", "--month", "2026-11"),
    ("restore", "2026-11"),
)


def environment(folder: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
    return inherited | {"FLEETMETER_DATA_DIR": str(folder), "COLUMNS": "500"}


def fleetmeter(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "fleetmeter.cli", *arguments],
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
def test_a_command_that_only_reads_starts_no_server(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = fleetmeter(tmp_path, *command)
    assert result.returncode == 1
    output = result.stdout + result.stderr
    assert f"no database is set and none runs in {tmp_path}" in output
    assert "fleetmeter up" in output
    assert list(tmp_path.iterdir()) == []


def test_a_reading_command_names_a_demo_that_runs_and_how_to_talk_to_it(tmp_path: Path) -> None:
    demo, elsewhere = running.folder(tmp_path / "data"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    with running.only(demo):
        running.announce(demo, {"DATABASE_URL": "postgresql://u:p'w@127.0.0.1:1/x"})
        assert 'eval "$(fleetmeter demo --env)"' in fleetmeter(elsewhere, "status").stderr
        printed = fleetmeter(tmp_path / "data", "demo", "--env").stdout
        again = fleetmeter(tmp_path / "data", "demo")
    assert "a demo runs in" in again.stderr
    shell = subprocess.run(
        ["/bin/sh", "-c", f'{printed}printf %s "$DATABASE_URL"'], capture_output=True, text=True, check=True
    )
    assert shell.stdout == "postgresql://u:p'w@127.0.0.1:1/x"
    assert all(noted.folder != demo for noted in running.demos())


def test_a_note_of_a_demo_that_was_killed_is_not_believed(tmp_path: Path) -> None:
    demo = running.folder(tmp_path)
    with running.only(demo):
        running.announce(demo, {})
    running.announce(demo, {})
    assert all(noted.folder != demo for noted in running.demos())
    with running.only(demo):
        pass


@pytest.mark.parametrize("stopped_by", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_leaves_nothing_running(tmp_path: Path, stopped_by: signal.Signals) -> None:
    command = [sys.executable, "-P", "-m", "fleetmeter.cli", "demo"]
    # Whoever starts the tests may ignore SIGINT, and children inherit that.
    process = subprocess.Popen(command, env=environment(tmp_path), cwd=tmp_path, start_new_session=True)
    folder = running.folder(tmp_path)
    try:
        until(lambda: folder.exists() and postgres.status(folder).running)
        process.send_signal(stopped_by)
        assert process.wait(120) in (0, 130)
        assert not postgres.status(folder).running
        assert all(noted.folder != folder for noted in running.demos())
    finally:
        process.kill()
        postgres.destroy(folder)
