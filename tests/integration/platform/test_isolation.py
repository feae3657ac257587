"""What cannot be counted of one project stops no other project, table or source; a part of a day is a gap."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from collectors.platform.source import PLATFORM_DB
from metering.catalogue import projects
from metering.catalogue.periods import Day, Month
from metering.config.settings import Settings
from metering.days import coverage_hours
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.months.close import CloseResult, close_month
from metering.pricing import plans
from metering.proof.verify import verify
from tests.support.platform import Platform, hours
from tests.support.runs import run_now

LARGEST = 2**63 - 1
AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
SEALED = Day.of(AT).end
NOVEMBER = Month.parse("2026-11")
TOTALS = "SELECT project_id, logs, docker_upload_bytes FROM project_stats ORDER BY project_id"


def pair(platform: Platform) -> tuple[int, int]:
    """A project that will hold what cannot be counted, and one that is sound, each with 2 log entries."""
    odd, sound = (platform.project(created_at=AT - hours(5)) for _ in range(2))
    for project in (odd, sound):
        platform.logs(project, AT - hours(1), 2)
        platform.transfer(project, "docker_upload", 7, AT - hours(1))
    return odd, sound


def spoil(platform: Platform, project: int, kind: str) -> None:
    if kind == "in one hour":
        for _ in range(2):
            platform.transfer(project, "docker_upload", LARGEST, AT - hours(2))
    elif kind == "in two hours":
        platform.transfer(project, "docker_upload", LARGEST, AT - hours(2))
        platform.transfer(project, "docker_upload", LARGEST, AT - hours(3))
    elif kind == "with the lifetime":
        platform.sql("UPDATE project_stats SET lifetime_docker_upload_bytes = :all", all=LARGEST - 5)
        platform.transfer(project, "docker_upload", 6, AT - hours(2))
    else:
        platform.transfer(project, "docker_upload", -1, AT - hours(2))


def seal(engine: Engine, last: datetime = AT) -> None:
    with transaction(engine) as connection:
        seal_through(connection, Day.of(last), projects.ids(connection), Day.of(last).end)


def close(engine: Engine) -> CloseResult:
    with transaction(engine) as connection:
        ids = projects.ids(connection)
        return close_month(connection, NOVEMBER, ids, plans.load(None), NOVEMBER.end, "test")


@pytest.mark.parametrize("kind", ["in one hour", "in two hours", "negative"])
def test_a_sum_that_cannot_be_counted_leaves_out_its_project_and_table_only(
    configured: Settings, engine: Engine, platform: Platform, kind: str
) -> None:
    odd, sound = pair(platform)
    spoil(platform, odd, kind)
    result = PLATFORM_DB.refresh(configured, engine, AT)
    assert (list(result.failures), result.problem, result.projects) == ([odd], None, 1)
    assert "data_transfers: " in str(result.failures[odd])
    assert platform.rows(TOTALS) == [(odd, 2, 0), (sound, 2, 7)]
    measured = "SELECT platform_db_measured_at FROM project_stats ORDER BY project_id"
    assert platform.rows(measured) == [(None,), (AT,)], "unknown is not zero"
    recorded = "SELECT measured->'platform_db_failed' FROM usage_hourly WHERE measured ? 'platform_db_failed'"
    assert [row[0]["kind"] for row in platform.rows(recorded)] == ["failed"]
    platform.sql("DELETE FROM data_transfers WHERE bytes NOT IN (7)")
    assert PLATFORM_DB.refresh(configured, engine, AT + hours(1)).failures == {}
    assert platform.rows(TOTALS) == [(odd, 2, 7), (sound, 2, 7)]
    assert verify(engine).sound


def test_a_total_that_would_not_fit_beside_the_lifetime_is_left_out(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    odd, sound = pair(platform)
    PLATFORM_DB.refresh(configured, engine, AT - hours(3))
    platform.sql(
        "UPDATE project_stats SET lifetime_docker_upload_bytes = :all WHERE project_id = :id",
        all=LARGEST - 5,
        id=odd,
    )
    result = PLATFORM_DB.refresh(configured, engine, AT)
    assert str(result.failures[odd]) == "data_transfers: the sum does not fit in 64 bits; correct the rows"
    assert platform.rows(TOTALS) == [(odd, 2, 0), (sound, 2, 7)]


def test_a_sum_that_fits_is_counted_exactly(configured: Settings, engine: Engine, platform: Platform) -> None:
    project = platform.project(created_at=AT - hours(5))
    platform.transfer(project, "docker_upload", LARGEST - 1, AT - hours(2))
    platform.transfer(project, "docker_upload", 1, AT - hours(3))
    for later in range(2):
        assert PLATFORM_DB.refresh(configured, engine, AT + hours(later)).failures == {}
    assert platform.rows(TOTALS) == [(project, 0, LARGEST)]


@pytest.mark.parametrize("size", [-1, LARGEST], ids=["negative", "beyond 64 bits"])
def test_log_entries_without_a_usable_size_leave_that_level_unknown(
    configured: Settings, engine: Engine, platform: Platform, size: int
) -> None:
    odd, sound = pair(platform)
    platform.logs(odd, AT - hours(4), 1, size)
    platform.logs(odd, AT - hours(1), 1, size)
    for later in range(2):
        result = PLATFORM_DB.refresh(configured, engine, AT + hours(later))
        assert list(result.failures) == [odd]
    stored = "SELECT project_id, logs, total_logs_storage_bytes FROM project_stats ORDER BY project_id"
    assert platform.rows(stored) == [(odd, 4, None), (sound, 2, 200)]


def test_a_day_read_in_part_blocks_its_month_until_it_is_recounted(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    odd, _ = pair(platform)
    PLATFORM_DB.refresh(configured, engine, AT - hours(4))
    spoil(platform, odd, "negative")
    PLATFORM_DB.refresh(configured, engine, SEALED, sealing=True)
    seal(engine)
    states = "SELECT coverage->'platform_db'->>'state' FROM daily_stats ORDER BY project_id"
    assert platform.rows(states) == [("partial",), ("measured",)]
    gaps = "SELECT kind, starts_at, ends_at, project_ids, covered_at IS NULL FROM gaps"
    begins = AT.replace(hour=6, minute=0)
    assert platform.rows(gaps) == [("partial_day", begins, SEALED, [odd], True)]
    PLATFORM_DB.refresh(configured, engine, NOVEMBER.end, sealing=True)
    two_days_on = datetime.now(UTC) + timedelta(days=2)
    recount = PLATFORM_DB.recount_late(engine, two_days_on)
    assert "negative" in str(recount.failures[odd])
    assert list(close(engine).blocked) == [odd]
    platform.sql("DELETE FROM data_transfers WHERE bytes < 0")
    recount = PLATFORM_DB.recount_late(engine, two_days_on + hours(1))
    assert (recount.days, recount.adjustments, recount.failures) == (1, 1, {})
    adjustments = "SELECT project_id, meter, quantity, usage_date FROM adjustments"
    assert platform.rows(adjustments) == [(odd, "docker_upload_bytes", 7, date(2026, 11, 24))]
    PLATFORM_DB.refresh(configured, engine, NOVEMBER.end + hours(1))
    assert close(engine).blocked == {}


def test_a_recount_of_one_project_that_fails_posts_the_others(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    odd, sound = pair(platform)
    PLATFORM_DB.refresh(configured, engine, SEALED, sealing=True)
    seal(engine)
    spoil(platform, odd, "in one hour")
    platform.logs(sound, AT - hours(2), 3)
    recount = PLATFORM_DB.recount_late(engine, datetime.now(UTC) + timedelta(days=2))
    assert (list(recount.failures), recount.adjustments) == ([odd], 1)
    assert platform.rows("SELECT project_id, quantity FROM adjustments") == [(sound, 3)]
    assert platform.rows("SELECT kind, project_ids, covered_at FROM gaps") == [("partial_day", [odd], None)]


def test_a_statement_timeout_is_said_to_be_one_and_the_other_sources_are_read(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    pair(platform)
    platform.sql("ALTER TABLE logs RENAME TO real_logs")
    platform.sql("""CREATE VIEW logs AS SELECT real_logs.* FROM real_logs, pg_sleep(5)""")
    database = platform.scalar("SELECT current_database()")
    platform.sql(f"ALTER DATABASE {database} SET statement_timeout = '700ms'")
    engine.dispose()
    outcome = run_now(configured, engine, "hourly", AT)
    assert outcome.state == "partial"
    errors = [error["error"] for error in outcome.errors]
    assert any("logs: canceling statement due to statement timeout" in error for error in errors), errors
    assert outcome.result["sources"]["s3"] == "s3 is not configured"
    platform.sql(f"ALTER DATABASE {database} RESET statement_timeout")
    assert [row[2] for row in platform.rows(TOTALS)] == [7, 7], "the other tables are counted"


def test_a_source_that_fails_in_an_unexpected_way_leaves_the_others(
    configured: Settings, engine: Engine, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair(platform)

    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("mistake")

    monkeypatch.setattr(type(PLATFORM_DB), "refresh", broken)
    outcome = run_now(configured, engine, "hourly", AT)
    assert outcome.state == "partial"
    assert outcome.errors[0]["error"] == "platform_db: KeyError: 'mistake'"
    assert outcome.result["sources"]["ecr"] == "ecr is not configured"


def test_an_hour_says_why_a_project_was_left_out(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    odd, _ = pair(platform)
    spoil(platform, odd, "negative")
    PLATFORM_DB.refresh(configured, engine, AT)
    with transaction(engine) as connection:
        cells = coverage_hours.hours(connection, odd, Day.of(AT), AT + hours(0.6))
        assert connection.scalar(text("SELECT count(*) FROM daily_stats")) == 0
    (last,) = (cell for cell in cells if cell.source == "platform_db" and cell.hour.hour == 10)
    assert (last.state, "negative" in last.detail["reason"]) == ("partial", True)


def test_a_project_that_could_never_be_counted_in_full_blocks_its_month_and_no_other(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    odd, sound = pair(platform)
    spoil(platform, odd, "in one hour")
    assert run_now(configured, engine, "hourly", AT).state == "partial"
    assert run_now(configured, engine, "daily", SEALED).state == "partial"
    states = "SELECT coverage->'platform_db'->>'state' FROM daily_stats ORDER BY project_id"
    assert platform.rows(states) == [("missing",), ("measured",)]
    outcome = run_now(configured, engine, "monthly", NOVEMBER.end + hours(1))
    assert [key.split()[0] for key in outcome.result["blocked"]] == [str(odd)], outcome.sentence
    billed = "SELECT project_id, logs, docker_upload_bytes FROM monthly_stats"
    assert platform.rows(billed) == [(sound, 2, 7)]
