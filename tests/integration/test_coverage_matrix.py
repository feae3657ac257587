"""How well each day was measured: what was denied or failed says so, and its level keeps its age."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from the_platform import Platform, hours

from metering import coverage_matrix, database, ledger, projects, snapshots
from metering.coverage_matrix import Cell
from metering.periods import Day

FIRST = datetime(2026, 11, 20, 10, tzinfo=UTC)
DAY = timedelta(days=1)


def sample(engine: Engine, project: int, at: datetime, size: int) -> None:
    with database.transaction(engine) as connection:
        ledger.record_gauges(connection, "s3", {project: {"s3_storage_bytes": size}}, at)


def fail(engine: Engine, project: int, at: datetime, reason: str) -> None:
    with database.transaction(engine) as connection:
        ledger.record_failures(connection, "s3", {project: reason}, at)


def seal(engine: Engine, last: datetime) -> None:
    with database.transaction(engine) as connection:
        snapshots.seal_through(connection, Day.of(last), projects.ids(connection), last + DAY)


def cells(engine: Engine, last: datetime, after: int = 0, most: int = 50) -> list[Cell]:
    with database.transaction(engine) as connection:
        return coverage_matrix.matrix(connection, Day.of(FIRST), Day.of(last), last, after, most)


def s3_states(engine: Engine, last: datetime) -> list[str]:
    return [cell.state for cell in cells(engine, last) if cell.source == "s3"]


@pytest.mark.parametrize(
    ("reason", "state"), [("access denied; grant it", "denied"), ("AWS answered 500", "failed")]
)
def test_a_failed_day_carries_its_level_with_age_and_reason(
    engine: Engine, platform: Platform, reason: str, state: str
) -> None:
    project = platform.project(created_at=FIRST)
    sample(engine, project, FIRST, 7)
    seal(engine, FIRST)
    fail(engine, project, FIRST + DAY, reason)
    seal(engine, FIRST + DAY)
    assert platform.rows("SELECT s3_storage_bytes FROM daily_stats ORDER BY date") == [(7,), (7,)]
    failed = [cell for cell in cells(engine, FIRST + 2 * DAY) if cell.source == "s3"][1]
    assert (failed.state, failed.detail["reason"], failed.detail["age_hours"]) == (state, reason, 38)


def test_a_sample_of_the_same_hour_takes_the_failures_place(engine: Engine, platform: Platform) -> None:
    project = platform.project(created_at=FIRST)
    fail(engine, project, FIRST, "AWS answered 500")
    sample(engine, project, FIRST, 7)
    fail(engine, project, FIRST, "AWS answered 500")
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


def test_a_page_starts_after_the_last_one(engine: Engine, platform: Platform) -> None:
    ids = [platform.project(created_at=FIRST) for _ in range(3)]
    first = cells(engine, FIRST + hours(1), most=2)
    assert sorted({cell.project_id for cell in first}) == ids[:2]
    rest = cells(engine, FIRST + hours(1), after=ids[1], most=2)
    assert {cell.project_id for cell in rest} == {ids[2]}
    assert cells(engine, FIRST + hours(1), after=ids[2]) == []
