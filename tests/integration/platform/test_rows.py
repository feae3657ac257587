"""The platform's rows: counted by range into their hours, late commits included, unknown never zero."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from collectors.platform.source import PLATFORM_DB
from collectors.platform.tables import SELECTS, TABLES, missing_indexes
from metering.config.settings import Settings
from metering.proof.verify import verify
from tests.support.platform import Platform, hours

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
    PLATFORM_DB.refresh(configured, engine, AT)
    assert platform.rows(
        """SELECT logs, sessions, api_calls, deployments, docker_upload_bytes, docker_download_bytes,
            data_transfer_bytes FROM project_stats"""
    ) == [(5, 1, 1, 1, 5, 7, 12)]
    assert platform.rows("SELECT hour, logs FROM usage_hourly WHERE logs > 0 ORDER BY hour") == [
        (datetime(2026, 11, 24, 8, tzinfo=UTC), 3),
        (datetime(2026, 11, 24, 10, tzinfo=UTC), 2),
    ]
    assert verify(engine).sound


def test_the_first_reading_starts_with_the_month_of_the_installation(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    platform.installed("2026-11-05T00:00:00Z")
    project = platform.project()
    platform.logs(project, datetime(2026, 11, 1, tzinfo=UTC), 4)
    platform.logs(project, datetime(2026, 10, 31, 23, 59, tzinfo=UTC), 9)
    PLATFORM_DB.refresh(configured, engine, AT)
    assert platform.scalar("SELECT logs FROM project_stats") == 4


def test_reading_again_counts_nothing_twice_and_finds_what_committed_late(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = platform.project()
    platform.logs(project, AT - hours(0.1), 2)
    PLATFORM_DB.refresh(configured, engine, AT)
    platform.logs(project, AT - hours(0.6), 1)
    platform.logs(project, AT + hours(1), 1)
    PLATFORM_DB.refresh(configured, engine, AT + hours(1.1))
    PLATFORM_DB.refresh(configured, engine, AT + hours(1.1))
    assert platform.scalar("SELECT logs FROM project_stats") == 4
    assert verify(engine).sound


def test_rows_of_the_future_are_not_counted_yet(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    platform.logs(platform.project(), AT + hours(0.1), 2)
    PLATFORM_DB.refresh(configured, engine, AT)
    assert platform.scalar("SELECT logs FROM project_stats") == 0


def test_an_hour_in_which_nothing_happened_is_measured(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    platform.project(created_at=AT - hours(10.5))
    PLATFORM_DB.refresh(configured, engine, AT)
    marks = platform.rows(
        "SELECT hour, logs, (measured->>'platform_db')::timestamptz FROM usage_hourly ORDER BY 1"
    )
    assert len(marks) == 11
    assert all(logs == 0 for _, logs, _ in marks)
    assert all(mark == hour + hours(1) for hour, _, mark in marks[:-1])
    assert marks[-1][2] == AT, "the running hour is measured up to now"


def test_levels_are_sampled(configured: Settings, engine: Engine, platform: Platform) -> None:
    project = platform.project()
    for last_seen_at in (AT - hours(1), AT - hours(23), AT - hours(25), None):
        platform.sql(
            "INSERT INTO devices (project_id, name, last_seen_at, created_at) VALUES (:id, 'd', :seen, :at)",
            id=project,
            seen=last_seen_at,
            at=AT - hours(100),
        )
    platform.logs(project, AT - hours(5), 3, size_bytes=50)
    PLATFORM_DB.refresh(configured, engine, AT)
    assert platform.rows(
        """SELECT total_devices, active_devices, total_logs_storage_bytes, total_storage_bytes,
            total_s3_storage_bytes FROM project_stats"""
    ) == [(4, 2, 150, 150, None)]


@pytest.mark.parametrize(
    ("broken", "mended", "named"),
    [
        (
            "ALTER TABLE sessions RENAME TO sessions_elsewhere",
            "ALTER TABLE sessions_elsewhere RENAME TO sessions",
            'sessions: relation "sessions" does not exist',
        ),
        (
            "ALTER TABLE data_transfers RENAME bytes TO octets",
            "ALTER TABLE data_transfers RENAME octets TO bytes",
            'data_transfers: column "bytes" does not exist',
        ),
    ],
)
def test_what_is_missing_is_named_and_the_other_tables_are_counted(
    configured: Settings, engine: Engine, platform: Platform, broken: str, mended: str, named: str
) -> None:
    project = platform.project()
    add_one_of_each(platform, project, AT - hours(1))
    PLATFORM_DB.refresh(configured, engine, AT)
    add_one_of_each(platform, project, AT)
    platform.sql(broken)
    measured = PLATFORM_DB.refresh(configured, engine, AT + hours(1))
    assert str(measured.problem) == named
    missing = named.partition(":")[0]
    assert platform.rows("SELECT logs, sessions, data_transfer_bytes FROM project_stats") == [
        (2, 1 if missing == "sessions" else 2, 1 if missing == "data_transfers" else 2)
    ]
    assert platform.scalar("SELECT platform_db_measured_at FROM project_stats") == AT, (
        "not all is known since"
    )
    failed = "SELECT measured->'platform_db_failed'->>'reason' FROM usage_hourly ORDER BY hour DESC LIMIT 1"
    assert platform.scalar(failed) == named
    platform.sql(mended)
    assert PLATFORM_DB.refresh(configured, engine, AT + hours(2)).problem is None
    assert platform.rows("SELECT logs, sessions, data_transfer_bytes FROM project_stats") == [(2, 2, 2)]
    assert platform.scalar(failed) is None
    assert verify(engine).sound


def add_one_of_each(platform: Platform, project: int, at: datetime) -> None:
    platform.logs(project, at)
    platform.sql("INSERT INTO sessions (project_id, created_at) VALUES (:id, :at)", id=project, at=at)
    platform.transfer(project, "data", 1, at)


def test_the_bytes_of_old_logs_are_summed_once_a_day(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = platform.project()
    level = "SELECT total_logs_storage_bytes FROM project_stats"
    platform.logs(project, AT - hours(5), 3, size_bytes=50)
    PLATFORM_DB.refresh(configured, engine, AT)
    assert platform.scalar(level) == 150
    platform.sql("DELETE FROM logs")
    platform.logs(project, AT - hours(0.7), 1, size_bytes=7)
    PLATFORM_DB.refresh(configured, engine, AT + hours(1))
    assert platform.scalar(level) == 157, "what was pruned is noticed by the next sum of all"
    PLATFORM_DB.refresh(configured, engine, AT + hours(25))
    assert platform.scalar(level) == 7


def test_rows_at_the_edge_of_an_hour_are_in_the_hour_that_begins(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project, hour = platform.project(), datetime(2026, 11, 24, 8, tzinfo=UTC)
    for moment in (hour, hour - timedelta(microseconds=1), hour + timedelta(hours=1, microseconds=-1)):
        platform.logs(project, moment)
    PLATFORM_DB.refresh(configured, engine, AT)
    assert platform.rows("SELECT hour, logs FROM usage_hourly WHERE logs > 0 ORDER BY hour") == [
        (hour - hours(1), 1),
        (hour, 2),
    ]


def test_each_table_is_one_statement_by_its_index_however_many_projects(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    organization = platform.organization()
    for _ in range(30):
        platform.logs(platform.project(organization, created_at=AT - hours(24)), AT - hours(1))
    PLATFORM_DB.refresh(configured, engine, AT)
    statements: list[str] = []

    def note(*arguments: Any) -> None:
        statements.append(arguments[2])

    event.listen(engine, "before_cursor_execute", note)
    PLATFORM_DB.refresh(configured, engine, AT + hours(0.2))
    for table in TABLES:
        counts = [statement for statement in statements if f"FROM {table} WHERE" in statement]
        assert len(counts) == (2 if table == "logs" else 1), "logs: counted, and their newest bytes"
    platform.sql(
        """INSERT INTO logs (project_id, size_bytes, created_at) SELECT min(id), 1,
            now() - n * interval '1 min' FROM projects, generate_series(1, 20000) n GROUP BY n"""
    )
    platform.sql("ANALYZE logs")
    bounds = {"start": AT - hours(1), "end": AT}
    plan = platform.rows(f"EXPLAIN {SELECTS['logs'].select}", **bounds)
    assert "logs_created_at_idx" in str(plan)


def test_a_table_without_an_index_is_named_with_what_to_do(engine: Engine, platform: Platform) -> None:
    with engine.begin() as connection:
        assert missing_indexes(connection) == []
        connection.execute(text("DROP INDEX logs_created_at_idx"))
        connection.execute(text("CREATE INDEX ON logs (project_id, created_at)"))
        connection.execute(text("ALTER TABLE sessions RENAME TO elsewhere"))
        connection.execute(text("CREATE VIEW sessions AS SELECT * FROM elsewhere"))
        assert missing_indexes(connection) == ["CREATE INDEX CONCURRENTLY ON logs (created_at)"]


def test_a_deactivated_project_is_counted_to_the_end_of_its_day(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = platform.project(created_at=AT - hours(100))
    platform.deactivate(project, AT - hours(48))
    platform.logs(project, AT - hours(40), 1)
    platform.logs(project, AT - hours(20), 1)
    PLATFORM_DB.refresh(configured, engine, AT)
    assert platform.scalar("SELECT logs FROM project_stats") == 1
