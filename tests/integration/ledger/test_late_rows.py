"""Late rows: found a day after the seal, posted once, and never by changing what was sealed."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from collectors.platform.source import PLATFORM_DB
from metering.catalogue.periods import Day
from metering.config.settings import Settings
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.errors import SourceUnavailable
from metering.proof.verify import verify
from tests.support.platform import Platform, hours

# Seals are dated by the database's clock, so these tests live at the real time.
NOW = datetime.now(UTC)
YESTERDAY = Day.of(NOW).previous()
LATER = NOW + timedelta(hours=25)
ADJUSTMENTS = (
    "SELECT project_id, meter, quantity, usage_date, kind FROM adjustments ORDER BY project_id, meter"
)


def project_of(platform: Platform) -> int:
    """One that is open from before yesterday, on the first of a month too."""
    return platform.project(created_at=YESTERDAY.start - timedelta(days=2))


def seal(settings: Settings, engine: Engine, *projects: int) -> None:
    PLATFORM_DB.refresh(settings, engine, NOW)
    with transaction(engine) as connection:
        seal_through(connection, YESTERDAY, projects, NOW)


def sealed_with(settings: Settings, engine: Engine, platform: Platform, logged: Mapping[float, int]) -> int:
    """A project whose yesterday is sealed with that many rows at those hours of it."""
    project = project_of(platform)
    for hour, count in logged.items():
        platform.logs(project, YESTERDAY.start + hours(hour), count)
    seal(settings, engine, project)
    return project


def test_a_row_committed_after_the_seal_becomes_one_adjustment(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project, other = project_of(platform), project_of(platform)
    platform.logs(project, YESTERDAY.start + hours(3), 5)
    seal(configured, engine, project, other)
    platform.logs(project, YESTERDAY.end - hours(0.1), 2)
    platform.transfer(project, "data", 700, YESTERDAY.start)
    before = platform.rows("SELECT project_id, date, logs, row_hash FROM daily_stats ORDER BY 1, 2")
    PLATFORM_DB.recount_late(engine, LATER)
    expected = [
        (project, "data_transfer_bytes", 700, YESTERDAY.date, "late_rows"),
        (project, "logs", 2, YESTERDAY.date, "late_rows"),
    ]
    assert platform.rows(ADJUSTMENTS) == expected
    assert platform.rows("SELECT project_id, date, logs, row_hash FROM daily_stats ORDER BY 1, 2") == before
    assert verify(engine).sound


def test_what_is_written_late_but_before_the_seal_is_in_the_day(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project, other = project_of(platform), project_of(platform)
    platform.logs(project, YESTERDAY.start + hours(3), 5)
    PLATFORM_DB.refresh(configured, engine, YESTERDAY.end)
    platform.sql("DELETE FROM logs WHERE id IN (SELECT id FROM logs LIMIT 2)")
    platform.logs(project, YESTERDAY.start + hours(9), 4)
    platform.logs(other, YESTERDAY.start + hours(9), 1)
    PLATFORM_DB.refresh(configured, engine, YESTERDAY.end + hours(3))
    day = "SELECT sum(logs)::int FROM usage_hourly WHERE project_id = :id"
    assert [platform.scalar(day, id=one) for one in (project, other)] == [5, 0]
    PLATFORM_DB.refresh(configured, engine, YESTERDAY.end + hours(3.1), sealing=True)
    assert [platform.scalar(day, id=one) for one in (project, other)] == [9, 1], (
        "and what is gone may be pruned"
    )
    assert verify(engine).sound


def test_a_day_is_recounted_once(configured: Settings, engine: Engine, platform: Platform) -> None:
    project = project_of(platform)
    seal(configured, engine, project)
    assert PLATFORM_DB.recount_late(engine, LATER).counts["days"] > 0
    platform.logs(project, YESTERDAY.start, 2)
    assert PLATFORM_DB.recount_late(engine, LATER + hours(1)).counts == {"days": 0, "adjustments": 0}


def test_a_day_is_not_recounted_before_it_is_a_day_old(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = project_of(platform)
    seal(configured, engine, project)
    platform.logs(project, YESTERDAY.start, 2)
    assert PLATFORM_DB.recount_late(engine, NOW + timedelta(hours=23)).counts == {"days": 0, "adjustments": 0}
    assert platform.rows(ADJUSTMENTS) == []


def test_rows_taken_back_are_posted_as_less(configured: Settings, engine: Engine, platform: Platform) -> None:
    project = sealed_with(configured, engine, platform, {3: 5, 9: 4})
    platform.sql("DELETE FROM logs WHERE id IN (SELECT id FROM logs ORDER BY id DESC LIMIT 3)")
    for _ in range(2):
        PLATFORM_DB.recount_late(engine, LATER)
    assert platform.rows(ADJUSTMENTS) == [(project, "logs", -3, YESTERDAY.date, "late_rows")]
    assert verify(engine).sound


def test_hours_that_were_pruned_are_left_out_and_late_rows_are_not(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = sealed_with(configured, engine, platform, {3: 5, 9: 4})
    platform.sql("DELETE FROM logs WHERE created_at < :at", at=YESTERDAY.start + hours(9))
    platform.logs(project, YESTERDAY.start + hours(10), 2)
    PLATFORM_DB.recount_late(engine, LATER)
    assert platform.rows(ADJUSTMENTS) == [(project, "logs", 2, YESTERDAY.date, "late_rows")]


def test_an_hour_that_was_pruned_in_part_takes_nothing_back(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    sealed_with(configured, engine, platform, {3: 5, 9.1: 4, 9.9: 3})
    platform.sql("DELETE FROM logs WHERE created_at < :at", at=YESTERDAY.start + hours(9.5))
    PLATFORM_DB.recount_late(engine, LATER)
    assert platform.rows(ADJUSTMENTS) == []


def test_what_is_taken_back_of_a_tables_first_hour_is_posted(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = project_of(platform)
    platform.logs(project, YESTERDAY.start + hours(9), 4)
    seal(configured, engine, project)
    platform.sql("DELETE FROM logs WHERE id = (SELECT min(id) FROM logs)")
    PLATFORM_DB.recount_late(engine, LATER)
    assert platform.rows(ADJUSTMENTS) == [(project, "logs", -1, YESTERDAY.date, "late_rows")]


def test_recounts_at_once_post_once(configured: Settings, engine: Engine, platform: Platform) -> None:
    project = project_of(platform)
    seal(configured, engine, project)
    platform.logs(project, YESTERDAY.start, 2)
    with ThreadPoolExecutor(4) as pool:
        recounts = list(pool.map(lambda _: PLATFORM_DB.recount_late(engine, LATER).counts, range(4)))
    assert sum(counts["adjustments"] for counts in recounts) == 1
    assert len(platform.rows(ADJUSTMENTS)) == 1


def test_rows_that_the_platform_pruned_take_nothing_back(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = project_of(platform)
    platform.logs(project, YESTERDAY.start, 5)
    seal(configured, engine, project)
    platform.sql("DELETE FROM logs")
    assert PLATFORM_DB.recount_late(engine, LATER).counts["adjustments"] == 0


def test_a_missing_table_leaves_the_days_due(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = project_of(platform)
    seal(configured, engine, project)
    platform.logs(project, YESTERDAY.start, 2)
    platform.sql("ALTER TABLE sessions RENAME TO sessions_elsewhere")
    with pytest.raises(SourceUnavailable, match="sessions"):
        PLATFORM_DB.recount_late(engine, LATER)
    platform.sql("ALTER TABLE sessions_elsewhere RENAME TO sessions")
    assert PLATFORM_DB.recount_late(engine, LATER).counts["adjustments"] == 1
