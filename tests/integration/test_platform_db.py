"""The platform's rows: counted by range into their hours, late commits included, unknown never zero."""

from datetime import UTC, datetime

from sqlalchemy import Engine
from the_platform import Platform, hours

from collectors import platform_db
from metering import audit
from metering.settings import Settings

AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)


def test_each_row_is_counted_in_its_hour(configured: Settings, engine: Engine, platform: Platform) -> None:
    project = platform.project()
    platform.logs(project, AT - hours(2), 3)
    platform.logs(project, AT - hours(0.1), 2)
    for kind, size in (("docker_upload", 5), ("docker_download", 7), ("data", 11), ("data", 1)):
        platform.transfer(project, kind, size, AT - hours(1))
    for table in ("sessions", "api_calls", "deployments"):
        platform.sql(
            f"INSERT INTO {table} (project_id, created_at) VALUES (:id, :at)", id=project, at=AT - hours(1)
        )
    platform_db.refresh(configured, engine, AT)
    assert platform.rows(
        """SELECT logs, sessions, api_calls, deployments, docker_upload_bytes, docker_download_bytes,
            data_transfer_bytes FROM project_stats"""
    ) == [(5, 1, 1, 1, 5, 7, 12)]
    assert platform.rows("SELECT hour, logs FROM usage_hourly WHERE logs > 0 ORDER BY hour") == [
        (datetime(2026, 11, 24, 8, tzinfo=UTC), 3),
        (datetime(2026, 11, 24, 10, tzinfo=UTC), 2),
    ]
    assert audit.verify(engine).sound


def test_the_first_reading_starts_with_the_month(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = platform.project()
    platform.logs(project, datetime(2026, 11, 1, tzinfo=UTC), 4)
    platform.logs(project, datetime(2026, 10, 31, 23, 59, tzinfo=UTC), 9)
    platform_db.refresh(configured, engine, AT)
    assert platform.scalar("SELECT logs FROM project_stats") == 4


def test_reading_again_counts_nothing_twice_and_finds_what_committed_late(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = platform.project()
    platform.logs(project, AT - hours(0.1), 2)
    platform_db.refresh(configured, engine, AT)
    platform.logs(project, AT - hours(0.6), 1)
    platform.logs(project, AT + hours(1), 1)
    platform_db.refresh(configured, engine, AT + hours(1.1))
    platform_db.refresh(configured, engine, AT + hours(1.1))
    assert platform.scalar("SELECT logs FROM project_stats") == 4
    assert audit.verify(engine).sound


def test_rows_of_the_future_are_not_counted_yet(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    platform.logs(platform.project(), AT + hours(0.1), 2)
    platform_db.refresh(configured, engine, AT)
    assert platform.scalar("SELECT logs FROM project_stats") == 0


def test_an_hour_in_which_nothing_happened_is_measured(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    platform.project(created_at=AT - hours(10.5))
    platform_db.refresh(configured, engine, AT)
    marks = platform.rows(
        "SELECT hour, logs, (measured->>'platform_db')::timestamptz FROM usage_hourly ORDER BY 1"
    )
    assert len(marks) == 11
    assert all(logs == 0 for _, logs, _ in marks)
    assert all(mark == hour + hours(1) for hour, _, mark in marks[:-1])
    assert marks[-1][2] == AT, "the running hour is measured up to now"


def test_levels_are_sampled(configured: Settings, engine: Engine, platform: Platform) -> None:
    project = platform.project()
    for seen in (AT - hours(1), AT - hours(23), AT - hours(25), None):
        platform.sql(
            "INSERT INTO devices (project_id, name, last_seen_at, created_at) VALUES (:id, 'd', :seen, :at)",
            id=project,
            seen=seen,
            at=AT - hours(100),
        )
    platform.logs(project, AT - hours(5), 3, size_bytes=50)
    platform_db.refresh(configured, engine, AT)
    assert platform.rows(
        """SELECT total_devices, active_devices, total_logs_storage_bytes, total_storage_bytes,
            total_s3_storage_bytes FROM project_stats"""
    ) == [(4, 2, 150, 150, None)]


def test_a_missing_table_is_named_and_nothing_becomes_zero(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = platform.project()
    platform.logs(project, AT - hours(1), 3)
    platform_db.refresh(configured, engine, AT)
    platform.sql("ALTER TABLE sessions RENAME TO sessions_elsewhere")
    measured = platform_db.refresh(configured, engine, AT + hours(1))
    assert "sessions" in measured.problem
    assert platform.rows("SELECT logs, platform_db_measured_at FROM project_stats") == [(3, AT)]


def test_a_deactivated_project_is_counted_to_the_end_of_its_day(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = platform.project(created_at=AT - hours(100))
    platform.deactivate(project, AT - hours(48))
    platform.logs(project, AT - hours(40), 1)
    platform.logs(project, AT - hours(20), 1)
    platform_db.refresh(configured, engine, AT)
    assert platform.scalar("SELECT logs FROM project_stats") == 1
