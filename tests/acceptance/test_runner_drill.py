"""Real runners, killed, frozen, cut off, by other clocks and zones: the books are as undisturbed ones.

Their clocks stand shortly before the end of a month, with twelve days behind: they seal the days, cross
midnight, and close the month.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import OperationalError

from fleetmeter import schema
from fleetmeter.embedded import postgres
from metering.proof.verify import verify
from tests.support.platform import Platform
from tests.support.until import until

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]

START = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
BEFORE_MIDNIGHT = datetime(2026, 12, 31, 23, 59, 55, tzinfo=UTC)
PROJECTS = 40
SCRIPT = Path(__file__).parents[1] / "support" / "shifted_clock.py"
WORKER_AT_WORK = """SELECT worker FROM job_runs WHERE state = 'running' AND job IN ('daily', 'monthly')
    AND heartbeat_at > clock_timestamp() - interval '3 seconds' ORDER BY id LIMIT 1"""


class Site:
    """A database to be filled and the runners that work on it."""

    def __init__(self, folder: Path, url: URL) -> None:
        self.folder, self.url = folder, url
        self.engine = create_engine(url)
        self.platform = Platform(self.engine)
        self.shift = folder / "shift"
        self.runners: list[subprocess.Popen[bytes]] = []
        self.set_clock(START)

    def set_clock(self, to: datetime) -> None:
        shift = (to - datetime.now(UTC)).total_seconds()
        (self.folder / "new").write_text(str(shift))
        (self.folder / "new").replace(self.shift)

    def start(self, count: int = 1, **environment: str) -> None:
        own = {
            "DATABASE_URL": self.url.render_as_string(hide_password=False),
            "FLEETMETER_CLOCK_TOLERANCE": "1e9",  # their clocks are wrong on purpose
        }
        foreign = ("AWS_", "MQTT_", "S3_", "ECR_", "DB_", "FLEETMETER_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        for _ in range(count):
            self.runners.append(
                subprocess.Popen(
                    [sys.executable, "-P", str(SCRIPT), str(self.shift), "runner"],
                    env=inherited | own | environment,
                    cwd=self.folder,
                    stderr=subprocess.DEVNULL,
                )
            )

    def until(self, true: Callable[[], Any], seconds: float = 240) -> Any:
        def read() -> Any:
            try:
                return true()
            except OperationalError:  # PostgreSQL is being restarted
                self.engine.dispose()
                return None

        try:
            return until(read, seconds, pause=0.02)
        except AssertionError as error:
            runs = self.platform.rows("SELECT id, job, period, state, errors FROM job_runs")
            raise AssertionError(runs) from error

    def beat(self) -> None:
        """Wait until each runner has looked at the clock and for due jobs: until its second heartbeat."""
        behind = "SELECT EXISTS (SELECT FROM workers WHERE last_seen_at <= :now)"
        for _ in range(2):
            now = self.platform.scalar("SELECT clock_timestamp()")
            self.until(lambda now=now: not self.platform.scalar(behind, now=now))  # type: ignore[misc]

    def holder(self) -> int:
        """The process that holds a seal or a close."""
        worker: str = self.until(lambda: self.platform.scalar(WORKER_AT_WORK))
        return int(worker.split("/")[1])

    def finish(self) -> None:
        """Once the last hour of the month is sampled, cross its end, and wait until all is done."""
        sampled = "SELECT 1 FROM job_runs WHERE job = 'hourly' AND period LIKE '2026-12-31T23%' AND {}"
        self.until(lambda: self.platform.scalar(sampled.format("state = 'succeeded'")))
        self.set_clock(BEFORE_MIDNIGHT)
        all_ended = f"""SELECT (SELECT count(*) FROM monthly_stats) = {PROJECTS} AND NOT EXISTS (
            SELECT FROM job_runs WHERE state IN ('queued', 'running'))"""
        self.until(lambda: self.platform.scalar(all_ended))

    def books(self) -> list[Any]:
        rows = self.platform.rows
        return [
            rows("SELECT project_id, date, row_hash FROM daily_stats ORDER BY 1, 2"),
            rows("SELECT project_id, year, month, seal FROM monthly_stats ORDER BY 1, 2, 3"),
            rows("SELECT project_id, meter, quantity FROM adjustments ORDER BY 1, 2"),
            rows("SELECT project_id, logs, lifetime_logs, lifetime_api_calls FROM project_stats ORDER BY 1"),
        ]

    def stop(self) -> None:
        for runner in self.runners:
            runner.terminate()
        for runner in self.runners:
            runner.wait(60)
        self.runners = []


def fill(site: Site) -> None:
    schema.migrate(site.engine)
    with site.engine.begin() as connection:  # installed long before, whenever the drill runs
        connection.execute(text("ALTER TABLE audit_log DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE audit_log SET at = '2024-01-01Z' WHERE action = 'install'"))
    organization = site.platform.organization("starter")
    for _ in range(PROJECTS):
        site.platform.project(organization, created_at="2026-12-20T00:00:00Z")
    for statement in (
        """INSERT INTO logs (project_id, size_bytes, created_at) SELECT id, 10, at + id * interval '1 minute'
        FROM projects, generate_series(timestamptz '2026-12-20Z', '2026-12-31 22:00Z', '1 hour') at""",
        """INSERT INTO api_calls (project_id, created_at) SELECT id, at
        FROM projects, generate_series(timestamptz '2026-12-20Z', '2026-12-31 23:00Z', '10 minutes') at""",
    ):
        site.platform.sql(statement)


def created(own_postgres: Path, folder: Path, name: str) -> Site:
    url = postgres.ensure_running(own_postgres)
    engine = create_engine(postgres.superuser_url(own_postgres), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} OWNER {url.username}"))
    engine.dispose()
    site = Site(folder, url.set(database=name))
    fill(site)
    return site


@pytest.fixture(scope="module")
def undisturbed(own_postgres: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    site = created(own_postgres, tmp_path_factory.mktemp("undisturbed"), "undisturbed")
    site.start()
    site.finish()
    site.stop()
    assert len(site.books()[0]) == 12 * PROJECTS
    return site.books()


@pytest.fixture
def site(own_postgres: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    site = created(own_postgres, tmp_path, f"drill_{abs(hash(request.node.name))}")
    yield site
    site.stop()
    site.engine.dispose()


def agree(site: Site, undisturbed: list[Any]) -> None:
    site.finish()
    site.stop()
    assert site.books() == undisturbed
    assert verify(site.engine).sound


def test_killed_again_and_again_another_goes_on_within_30_seconds(
    site: Site, undisturbed: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    site.start(2)
    waits = []
    for _ in range(3):
        os.kill(site.holder(), signal.SIGKILL)
        killed = time.monotonic()
        site.until(lambda: not site.platform.scalar(f"SELECT EXISTS ({WORKER_AT_WORK})"))
        site.start()
        site.holder()
        waits.append(time.monotonic() - killed)
    with capsys.disabled():
        print(f"\nkilled 3 times; seals went on after {', '.join(f'{wait:.1f} s' for wait in waits)}")
    assert max(waits) < 30
    agree(site, undisturbed)


def test_one_of_three_frozen_past_its_lease_writes_nothing_when_it_comes_back(
    site: Site, undisturbed: list[Any]
) -> None:
    site.start(3)
    frozen = site.holder()
    os.kill(frozen, signal.SIGSTOP)
    try:
        site.finish()  # which takes longer than a lease
        before = site.books()
        runs = site.platform.rows("SELECT id, state, worker, attempt FROM job_runs ORDER BY id")
    finally:
        os.kill(frozen, signal.SIGCONT)
    site.stop()
    assert site.platform.rows("SELECT id, state, worker, attempt FROM job_runs ORDER BY id") == runs
    assert site.books() == before
    agree(site, undisturbed)


def test_postgresql_restarted_in_mid_run(site: Site, undisturbed: list[Any], own_postgres: Path) -> None:
    site.start(3)
    for _ in range(3):
        site.holder()
        postgres.stop(own_postgres)
        postgres.ensure_running(own_postgres)
    agree(site, undisturbed)


def test_clocks_that_jump_and_hosts_of_other_zones(site: Site, undisturbed: list[Any]) -> None:
    site.start(TZ="America/New_York")
    site.start(TZ="Pacific/Auckland")
    site.holder()
    for jump in (timedelta(hours=3), timedelta(hours=-1)):
        site.set_clock(START + jump)
        site.beat()
    agree(site, undisturbed)
