"""How well each day was measured: what was denied or failed says so, and its level keeps its age."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from collectors.platform.source import PLATFORM_DB
from metering.catalogue import projects
from metering.catalogue.periods import Day
from metering.config.settings import Settings
from metering.days import coverage_hours, coverage_matrix
from metering.days.coverage_matrix import Cell
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.ledger.failures import FailureKind, SourceFailure, record_failures
from metering.ledger.gauges import record_gauges
from metering.proof.verify import verify
from tests.support.platform import Platform, hours

FIRST = datetime(2026, 11, 20, 10, tzinfo=UTC)
DAY = timedelta(days=1)


def sample(engine: Engine, project: int, at: datetime, size: int) -> None:
    with transaction(engine) as connection:
        record_gauges(connection, "s3", {project: {"s3_storage_bytes": size}}, at)


def fail(engine: Engine, project: int, at: datetime, kind: FailureKind = "failed", reason: str = "x") -> None:
    with transaction(engine) as connection:
        record_failures(connection, "s3", {project: SourceFailure(reason, kind)}, at)


def seal(engine: Engine, last: datetime) -> None:
    with transaction(engine) as connection:
        seal_through(connection, Day.of(last), projects.ids(connection), last + DAY)


def cells(engine: Engine, last: datetime, after: int = 0, most: int = 50) -> list[Cell]:
    with transaction(engine) as connection:
        return coverage_matrix.matrix(connection, Day.of(FIRST), Day.of(last), last, after, most)


def s3_states(engine: Engine, last: datetime) -> list[str]:
    return [cell.state for cell in cells(engine, last) if cell.source == "s3"]


@pytest.mark.parametrize(
    ("kind", "state"), [("denied", "denied"), ("failed", "failed"), ("timeout", "failed")]
)
def test_a_failed_day_carries_its_level_with_age_and_reason(
    engine: Engine, platform: Platform, kind: FailureKind, state: str
) -> None:
    project = platform.project(created_at=FIRST)
    sample(engine, project, FIRST, 7)
    seal(engine, FIRST)
    fail(engine, project, FIRST + DAY, kind, reason := "access denied to x")
    seal(engine, FIRST + DAY)
    assert platform.rows("SELECT s3_storage_bytes FROM daily_stats ORDER BY date") == [(7,), (7,)]
    failed = [cell for cell in cells(engine, FIRST + 2 * DAY) if cell.source == "s3"][1]
    assert (failed.state, failed.detail["reason"], failed.detail["age_hours"]) == (state, reason, 38)


def test_a_sample_of_the_same_hour_takes_the_failures_place(engine: Engine, platform: Platform) -> None:
    project = platform.project(created_at=FIRST)
    fail(engine, project, FIRST)
    sample(engine, project, FIRST, 7)
    fail(engine, project, FIRST)
    assert list(platform.scalar("SELECT measured FROM usage_hourly")) == ["s3"]
    seal(engine, FIRST)
    assert s3_states(engine, FIRST + DAY) == ["measured", "running"]


def test_states_of_days_that_are_zero_carried_unsealed_and_running(
    engine: Engine, platform: Platform
) -> None:
    project = platform.project(created_at=FIRST)
    sample(engine, project, FIRST, 0)
    seal(engine, FIRST + DAY)
    assert s3_states(engine, FIRST + 3 * DAY) == ["zero", "carried", "unsealed", "running"]
    states = (
        "SELECT coverage->'s3'->>'state', (coverage->'s3'->>'age_hours')::int FROM daily_stats ORDER BY date"
    )
    assert platform.rows(states) == [("zero", None), ("carried", 38)]


def test_a_page_starts_after_the_last_one(engine: Engine, platform: Platform) -> None:
    ids = [platform.project(created_at=FIRST) for _ in range(3)]
    first = cells(engine, FIRST + hours(1), most=2)
    assert sorted({cell.project_id for cell in first}) == ids[:2]
    rest = cells(engine, FIRST + hours(1), after=ids[1], most=2)
    assert {cell.project_id for cell in rest} == {ids[2]}
    assert cells(engine, FIRST + hours(1), after=ids[2]) == []


def test_each_hour_of_a_day_says_how_it_was_measured(engine: Engine, platform: Platform) -> None:
    project = platform.project(created_at=FIRST)
    sample(engine, project, FIRST, 7)
    fail(engine, project, FIRST + hours(1), "denied")
    sample(engine, project, FIRST + hours(2), 0)
    parts = {project: {"eu-west-1/a": {"s3_storage_bytes": 1}, "us-east-1/b": None}}
    with transaction(engine) as connection:
        failures = {project: SourceFailure("x")}
        record_failures(connection, "s3", failures, FIRST + hours(4), parts)
        hour_cells = coverage_hours.hours(connection, project, Day.of(FIRST), FIRST + hours(5.5))
    cells = {(cell.hour.hour, cell.source): cell for cell in hour_cells}
    assert [cells[hour, "s3"].state for hour in range(10, 16)] == [
        *("measured", "denied", "zero", "carried", "failed", "running")
    ]
    assert cells[11, "s3"].detail["reason"] == "x"
    assert (cells[13, "s3"].detail["age_hours"], cells[14, "s3"].detail["age_hours"]) == (2, 3)
    assert cells[14, "s3"].detail["parts"] == parts[project]
    assert {cells[hour, "ecr"].state for hour in range(10, 15)} == {"not_configured"}
    assert {cells[hour, "mqtt"].state for hour in range(10, 15)} == {"not_started"}


def test_an_hour_of_the_platforms_tables_is_partial_while_one_is_missing(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = platform.project(created_at=FIRST)
    platform.logs(project, FIRST + hours(0.5), 3)
    PLATFORM_DB.refresh(configured, engine, FIRST + hours(2))
    platform.sql("ALTER TABLE sessions RENAME TO elsewhere")
    PLATFORM_DB.refresh(configured, engine, FIRST + hours(3.5))
    with transaction(engine) as connection:
        cells = coverage_hours.hours(connection, project, Day.of(FIRST), FIRST + hours(4))
    states = [(cell.state, cell.detail.get("reason")) for cell in cells if cell.source == "platform_db"]
    assert [state for state, _ in states] == ["measured", "zero", "partial", "partial", "running"]
    assert "sessions" in str(states[3][1])
    seal(engine, FIRST)
    day = platform.scalar("SELECT coverage->'platform_db' FROM daily_stats")
    assert (day["state"], day["hours"], day["of"]) == ("partial", 2, 14)
    assert "sessions" in day["reason"]


def test_a_days_coverage_keeps_the_parts_of_its_sum(engine: Engine, platform: Platform) -> None:
    project = platform.project(created_at=FIRST)
    parts = {project: {"eu-west-1/a": {"s3_storage_bytes": 3}, "us-east-1/b": {"s3_storage_bytes": 4}}}
    with transaction(engine) as connection:
        record_gauges(connection, "s3", {project: {"s3_storage_bytes": 7}}, FIRST, parts)
    fail(engine, project, FIRST + hours(1))
    seal(engine, FIRST)
    assert platform.rows("SELECT s3_storage_bytes, coverage->'s3'->'parts' FROM daily_stats") == [
        (7, parts[project])
    ]
    assert verify(engine).sound
