"""StatsUpdaterService: what the platform's backend counts, seals and closes."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import URL, Engine

from fleetmeter import StatsUpdaterService
from metering.config.settings import Settings
from metering.errors import DatabaseUnavailable, ProjectInactive, SchemaError, UnknownProject
from metering.runs.outcome import Outcome
from tests.support.platform import Platform, hours

NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
MIDNIGHT = datetime(2026, 12, 1, 0, 5, tzinfo=UTC)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(configured: Settings, engine: Engine, clock: Clock) -> StatsUpdaterService:
    return StatsUpdaterService(configured, engine, clock)


def live(platform: Platform, project: int) -> dict[str, int]:
    """The running totals of a project that tests look at."""
    query = "SELECT logs, mqtt_inbound, mqtt_outbound FROM project_stats WHERE project_id = :id"
    return dict(platform.rows(query, id=project)[0]._mapping)


def test_a_refresh_counts_the_rows_of_every_project(service: StatsUpdaterService, platform: Platform) -> None:
    projects = [platform.project() for _ in range(2)]
    for count, project in enumerate(projects, 1):
        platform.logs(project, NOW - hours(1), count=count)
    assert service.update_all_projects().state == "succeeded"
    assert [live(platform, project)["logs"] for project in projects] == [1, 2]


def test_a_refresh_of_one_project_leaves_the_others(service: StatsUpdaterService, platform: Platform) -> None:
    one, other = platform.project(), platform.project()
    for project in (one, other):
        platform.logs(project, NOW - hours(1), count=3)
    service.update_project_stats(one)
    assert live(platform, one)["logs"] == 3
    assert platform.rows("SELECT 1 FROM project_stats WHERE project_id = :id", id=other) == []


def test_a_project_is_its_id_or_an_object_with_one(service: StatsUpdaterService, platform: Platform) -> None:
    project = platform.project()
    outcome = service.update_project_stats(SimpleNamespace(id=project))
    row = platform.rows("SELECT id, project_id, requested_by, state FROM job_runs")
    assert row == [(outcome.run_id, project, "library", "succeeded")]


def test_increments_add_up(service: StatsUpdaterService, platform: Platform) -> None:
    project = platform.project()
    service.increment_mqtt_inbound(project, 5)
    service.increment_mqtt_inbound(project, 7)
    service.increment_mqtt_outbound(project, 2)
    totals = live(platform, project)
    assert (totals["mqtt_inbound"], totals["mqtt_outbound"]) == (12, 2)
    assert platform.rows("SELECT hour, mqtt_inbound FROM usage_hourly") == [(NOW.replace(minute=0), 12)]


def test_increments_of_several_threads_are_all_counted(
    service: StatsUpdaterService, platform: Platform
) -> None:
    project = platform.project()

    def count() -> None:
        for _ in range(10):
            service.increment_mqtt_inbound(project, 1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert live(platform, project)["mqtt_inbound"] == 40


def test_a_count_for_a_project_that_is_off_is_kept_apart_and_said(
    service: StatsUpdaterService, platform: Platform, clock: Clock
) -> None:
    project = platform.project()
    platform.deactivate(project, clock.at - timedelta(days=3))
    with pytest.raises(ProjectInactive, match=f"project {project} is off: 5 messages are kept"):
        service.increment_mqtt_inbound(project, 5)
    assert platform.rows("SELECT reason, messages FROM unattributed_messages") == [("project_inactive", 5)]


def test_a_negative_count_is_refused(service: StatsUpdaterService, platform: Platform) -> None:
    project = platform.project()
    with pytest.raises(ValueError, match="adjustment"):
        service.increment_mqtt_inbound(project, -1)
    with pytest.raises(ValueError, match="adjustment"):
        service.increment_mqtt_outbound(project, -1)
    assert platform.rows("SELECT 1 FROM usage_hourly") == []


def test_a_daily_snapshot_seals_every_day_that_is_over(
    service: StatsUpdaterService, platform: Platform
) -> None:
    project = platform.project(created_at="2026-11-21T00:00:00Z")
    platform.logs(project, datetime(2026, 11, 22, 12, tzinfo=UTC), count=4)
    outcome = service.create_all_daily_snapshots()
    assert outcome.result["days_sealed"] == 3
    days = platform.rows("SELECT day, logs FROM daily_stats ORDER BY date")
    assert days == [(21, 0), (22, 4), (23, 0)]


def test_a_daily_snapshot_of_one_project_seals_no_other(
    service: StatsUpdaterService, platform: Platform
) -> None:
    one, _ = (platform.project(created_at="2026-11-23T00:00:00Z") for _ in range(2))
    service.create_daily_snapshot(one)
    assert platform.rows("SELECT project_id, day FROM daily_stats") == [(one, 23)]


def test_a_monthly_reset_bills_the_month_and_starts_the_next_at_zero(
    service: StatsUpdaterService, platform: Platform, clock: Clock
) -> None:
    project = platform.project(created_at="2026-11-20T00:00:00Z")
    service.increment_mqtt_inbound(project, 9)
    clock.at = MIDNIGHT
    service.increment_mqtt_inbound(project, 1)
    service.create_all_daily_snapshots()
    assert service.reset_all_monthly_stats().result["closed"] == 1
    assert platform.rows("SELECT month, mqtt_inbound FROM monthly_stats") == [(11, 9)]
    assert live(platform, project)["mqtt_inbound"] == 1
    assert platform.scalar("SELECT lifetime_mqtt_inbound FROM project_stats") == 9


def test_a_monthly_reset_in_mid_month_changes_nothing(
    service: StatsUpdaterService, platform: Platform
) -> None:
    project = platform.project(created_at="2026-11-20T00:00:00Z")
    service.increment_mqtt_inbound(project, 9)
    service.reset_monthly_stats(project)
    assert live(platform, project)["mqtt_inbound"] == 9
    assert platform.scalar("SELECT count(*) FROM monthly_stats") == 0


@pytest.mark.parametrize(
    "repeat",
    [
        StatsUpdaterService.update_all_projects,
        StatsUpdaterService.create_all_daily_snapshots,
        StatsUpdaterService.reset_all_monthly_stats,
    ],
)
def test_a_second_call_changes_nothing(
    service: StatsUpdaterService,
    platform: Platform,
    clock: Clock,
    repeat: Callable[[StatsUpdaterService], Outcome],
) -> None:
    project = platform.project(created_at="2026-11-20T00:00:00Z")
    platform.logs(project, NOW, count=3)
    clock.at = MIDNIGHT
    repeat(service)
    tables = {
        name: platform.rows(f"SELECT to_jsonb(t) - 'updated_at' FROM {name} t ORDER BY 1")
        for name in ("project_stats", "daily_stats", "monthly_stats")
    }
    assert repeat(service).state == "succeeded"
    for name, rows in tables.items():
        assert platform.rows(f"SELECT to_jsonb(t) - 'updated_at' FROM {name} t ORDER BY 1") == rows


def test_an_unknown_project_is_named(service: StatsUpdaterService) -> None:
    for call in (service.update_project_stats, service.create_daily_snapshot, service.reset_monthly_stats):
        with pytest.raises(UnknownProject, match="999"):
            call(999)
    with pytest.raises(UnknownProject, match="999"):
        service.increment_mqtt_inbound(999, 1)


def test_without_arguments_it_uses_the_environment(configured: Settings, platform: Platform) -> None:
    project = platform.project()
    StatsUpdaterService().increment_mqtt_outbound(project, 4)
    assert live(platform, project)["mqtt_outbound"] == 4


def test_a_database_that_is_away_or_not_migrated_is_one_sentence(
    configured: Settings, empty_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1"):
        StatsUpdaterService()
    monkeypatch.setenv("DATABASE_URL", empty_url.render_as_string(hide_password=False))
    with pytest.raises(SchemaError, match="fleetmeter migrate"):
        StatsUpdaterService()


def test_a_project_that_fails_stops_no_other(service: StatsUpdaterService, platform: Platform) -> None:
    broken, sound = (platform.project(created_at="2026-11-23T00:00:00Z") for _ in range(2))
    platform.sql(f"ALTER TABLE daily_stats ADD CONSTRAINT broken CHECK (project_id <> {broken})")
    outcome = service.create_all_daily_snapshots()
    assert [error["project_id"] for error in outcome.errors] == [broken]
    assert (outcome.state, outcome.exit_code) == ("partial", 1)
    assert "succeeded, 1 left out" in outcome.sentence
    assert platform.rows("SELECT project_id FROM daily_stats") == [(sound,)]
