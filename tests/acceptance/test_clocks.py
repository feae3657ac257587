"""A host whose clock is wrong decides nothing: rule 14."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine

from console import actions, billing_actions
from fleetmeter import StatsUpdaterService
from metering.catalogue.periods import Day, Month
from metering.config.settings import Settings
from metering.db import clock
from metering.db.transactions import transaction
from metering.errors import ClockWrong
from tests.support.platform import Platform
from tests.support.until import until

SCRIPT = Path(__file__).parents[1] / "support" / "shifted_clock.py"


class Host:
    """A host whose clock is off; it runs commands on the test's database."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "shift"
        self.shift(0)

    def shift(self, seconds: float) -> None:
        self.file.write_text(str(seconds))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-P", str(SCRIPT), str(self.file), *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=120, check=False
        )


@pytest.fixture
def host(configured: Settings, tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def running_month(platform: Platform) -> int:
    """A project of the month that really runs."""
    return platform.project(created_at=datetime.now(UTC) - timedelta(days=40))


def decided(platform: Platform) -> tuple[int, int]:
    """How many days of today or later are sealed, and months closed."""
    today = Day.of(datetime.now(UTC)).date
    return (
        platform.scalar("SELECT count(*) FROM daily_stats WHERE date >= :today", today=today),
        platform.scalar("SELECT count(*) FROM monthly_stats"),
    )


@pytest.mark.parametrize("seconds", [40 * 86_400, 3_600, -3_600])
def test_a_job_refuses_and_says_by_how_much_the_clocks_differ(
    host: Host, platform: Platform, running_month: int, seconds: float
) -> None:
    host.shift(seconds)
    for job in ("daily", "monthly"):
        result = host.run("run", job)
        assert result.returncode == 1
        assert ("ahead of" if seconds > 0 else "behind") in result.stderr
        assert "FLEETMETER_CLOCK_TOLERANCE" in result.stderr
    assert decided(platform) == (0, 0)
    assert platform.scalar("SELECT count(*) FROM job_runs") == 0


def test_at_refuses_where_the_clock_is_wrong(host: Host, running_month: int) -> None:
    host.shift(40 * 86_400)
    at = (datetime.now(UTC) + timedelta(days=39)).isoformat()
    for command in (("run", "monthly"), ("spend",), ("alerts",), ("month", str(Month.of(datetime.now(UTC))))):
        result = host.run(*command, "--at", at)
        assert result.returncode == 1, command
        assert "clock" in result.stderr


@pytest.mark.parametrize("seconds", [3_600, -7_200])
def test_a_counter_is_not_retired_or_moved_by_a_wrong_clock(
    host: Host, platform: Platform, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """By a clock ahead a counter that counts looks away; by one behind, its gap would end before it began."""
    monkeypatch.setenv("MQTT_URL", "mqtt://127.0.0.1:1")
    platform.sql(
        """INSERT INTO mqtt_sessions (client_id, epoch, connected, session_started_at, last_seen_at)
        VALUES ('one', 1, :counting, now() - interval '1 day', now() - :seen * interval '1 minute')""",
        counting=seconds > 0,
        seen=0 if seconds > 0 else 30,
    )
    host.shift(seconds)
    for command in (("retire", "one", "--reason", "gone"), ("move", "one")):
        result = host.run("counters", *command)
        assert result.returncode == 1
        assert "FLEETMETER_CLOCK_TOLERANCE" in result.stderr
    assert platform.rows("SELECT retired_at FROM mqtt_sessions") == [(None,)]
    assert platform.scalar("SELECT count(*) FROM gaps") == 0


def test_the_console_writes_by_the_databases_clock(
    configured: Settings, engine: Engine, platform: Platform, running_month: int
) -> None:
    Path(".env").write_text("FLEETMETER_CLOCK_TOLERANCE=60")  # read anew, unlike the environment
    at = datetime.now(UTC) + timedelta(days=40)  # by the console's host
    platform.sql("INSERT INTO gaps (source, starts_at, ends_at, reason) VALUES ('mqtt', now(), now(), 'x')")
    gap = platform.scalar("SELECT id FROM gaps")
    today = Day.of(datetime.now(UTC)).date
    billing_actions.adjust(running_month, None, None, Decimal(-5), today, "goodwill", at)
    billing_actions.accept_gap(gap, "known", at)
    actions.pause("retention", datetime.now(UTC) + timedelta(days=2), "moving", at)
    assert platform.rows("SELECT posted_month, created_at < now() FROM adjustments") == [
        (today.replace(day=1), True)
    ]
    for table, column in (("gaps", "accepted_at"), ("job_pauses", "paused_at")):
        assert platform.scalar(f"SELECT {column} < now() FROM {table}"), table


def test_the_console_asks_for_no_job_by_a_wrong_clock(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    Path(".env").write_text("FLEETMETER_CLOCK_TOLERANCE=0.000000001")
    with pytest.raises(ClockWrong):
        actions.ask("monthly", "2026-10", datetime.now(UTC))
    assert platform.scalar("SELECT count(*) FROM job_runs") == 0


@pytest.mark.drill
def test_within_the_tolerance_a_job_runs(
    host: Host, platform: Platform, running_month: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.shift(30)
    assert host.run("run", "hourly").returncode == 0
    host.shift(120)
    assert host.run("run", "hourly").returncode == 1
    monkeypatch.setenv("FLEETMETER_CLOCK_TOLERANCE", "300.5")
    assert host.run("run", "hourly").returncode == 0


@pytest.mark.drill
def test_doctor_and_status_say_by_how_much_the_clocks_differ(host: Host) -> None:
    host.shift(-7_200)
    doctor = host.run("doctor")
    assert doctor.returncode == 1
    assert "this host's clock is 2:00:00 behind the database's" in " ".join(doctor.stdout.split())
    assert "2:00:00 behind the database's" in host.run("status").stdout
    host.shift(0)
    assert "ok   clock" in host.run("doctor").stdout


@pytest.fixture
def runner(host: Host) -> Iterator[Host]:
    """A runner on the host, its clock an hour ahead."""
    host.shift(3_600)
    process = subprocess.Popen(host.command("runner"))
    yield host
    process.terminate()
    process.wait(30)


def test_a_runner_whose_clock_is_wrong_waits_until_it_is_right(
    runner: Host, platform: Platform, running_month: int
) -> None:
    reported = "SELECT (figures->>'clock_difference_seconds')::float FROM workers WHERE role = 'runner'"
    until(lambda: platform.rows(reported))
    assert platform.scalar(reported) == pytest.approx(3_600, abs=5)
    alert = "SELECT severity FROM alerts WHERE kind = 'clock_wrong' AND resolved_at IS NULL"
    until(lambda: platform.rows(alert) == [("critical",)])
    assert platform.scalar("SELECT count(*) FROM job_runs") == 0
    runner.shift(0)
    until(lambda: platform.rows("SELECT 1 FROM job_runs WHERE job = 'daily'"))


def test_a_run_that_was_asked_for_with_a_wrong_clock_fails(
    runner: Host, platform: Platform, running_month: int
) -> None:
    runner.shift(0)
    platform.sql(
        """INSERT INTO job_runs (job, period, at, trigger, requested_by)
        VALUES ('monthly', '2099-01', now() + interval '40 days', 'console', 'somebody')"""
    )
    failed = "SELECT state, errors->0->>'error' FROM job_runs WHERE period = '2099-01'"
    until(lambda: platform.rows(failed)[0][0] == "failed")
    assert "has not come by the database's clock" in platform.rows(failed)[0][1]
    assert decided(platform) == (0, 0)


def test_the_library_refuses_jobs_and_counts_by_the_databases_clock(
    configured: Settings, engine: Engine, platform: Platform, running_month: int, url: URL
) -> None:
    strict = configured.model_copy(update={"clock_tolerance": 1e-9})
    service = StatsUpdaterService(strict, engine)
    with pytest.raises(ClockWrong):
        service.create_all_daily_snapshots()
    service.increment_mqtt_inbound(running_month, 2)
    assert platform.scalar("SELECT mqtt_inbound FROM project_stats") == 2


def test_the_agreed_instant_is_the_hosts_within_the_tolerance(engine: Engine) -> None:
    with transaction(engine) as connection:
        at = datetime.now(UTC) + timedelta(hours=1)
        assert clock.agreed_instant(connection, at, 4_000) == at
        agreed = clock.agreed_instant(connection, at, 60)
        assert abs((agreed - datetime.now(UTC)).total_seconds()) < 5
