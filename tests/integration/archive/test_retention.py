"""Retention drops what the settings keep no longer, and nothing that is not closed and archived."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from metering.archive import records
from metering.config.settings import Settings, load_settings
from metering.db.transactions import transaction
from metering.ledger.partitions import ensure_partitions
from metering.proof.verify import verify
from tests.support import runs
from tests.support.closed_months import OCTOBER, closed_october
from tests.support.platform import Platform

MUCH_LATER = datetime(2027, 3, 10, 12, tzinfo=UTC)


def shorten(engine: Engine, at: datetime = MUCH_LATER, **keep: Any) -> dict[str, Any]:
    settings = load_settings(**keep)
    return runs.run_now(settings, engine, "retention", at).result


def archive_october(engine: Engine, bills: int) -> None:
    with transaction(engine) as connection:
        records.note_archived(connection, OCTOBER, bills, "s3://bucket/place", "somebody")


def counts(platform: Platform) -> tuple[int, int, int]:
    tables = ("usage_hourly", "daily_stats", "monthly_stats")
    hours, days, months = (platform.scalar(f"SELECT count(*) FROM {table}") for table in tables)
    return hours, days, months


def test_by_default_nothing_is_dropped(engine: Engine, platform: Platform) -> None:
    closed_october(engine, platform)
    archive_october(engine, 1)
    before = counts(platform)
    result = shorten(engine)
    tables = ("usage_hourly", "daily_stats", "job_runs", "alerts", "device_usage_daily", "usage_events")
    assert result["removed"] == dict.fromkeys(tables, 0)
    assert result["kept"] == {
        "usage_hourly": "all of it: FLEETMETER_KEEP_HOURS_DAYS is not set",
        "daily_stats": "all of it: FLEETMETER_KEEP_DAYS_MONTHS is not set",
    }
    assert counts(platform) == before


def test_what_is_not_archived_is_kept(engine: Engine, platform: Platform) -> None:
    closed_october(engine, platform, projects=2)
    before = counts(platform)
    result = shorten(engine, keep_hours_days="30")
    assert result["usage_hourly"] == {}
    assert "set FLEETMETER_ARCHIVE_BUCKET" in result["kept"]["usage_hourly"]["2026-10"]
    archive_october(engine, 1)
    assert shorten(engine, keep_hours_days="30")["usage_hourly"] == {}, "one of the two bills is not in it"
    assert counts(platform) == before


def test_a_closed_and_archived_month_goes_and_the_books_still_balance(
    engine: Engine, platform: Platform
) -> None:
    ensure_partitions(engine, OCTOBER.start)
    closed_october(engine, platform, projects=2)
    archive_october(engine, 2)
    assert shorten(engine, datetime(2026, 11, 20, tzinfo=UTC), keep_hours_days="30")["usage_hourly"] == {}
    hours, days, _ = counts(platform)
    result = shorten(engine, keep_hours_days="30")
    assert result["usage_hourly"] == {"2026-10": f"{hours:,} rows of 2 projects, as a partition"}
    assert result["removed"]["usage_hourly"] == hours
    assert platform.scalar("SELECT to_regclass('usage_hourly_2026_10')") is None
    assert counts(platform) == (0, 62, 2)
    assert verify(engine).sound
    result = shorten(engine, keep_days_months="2")
    assert result["daily_stats"] == {"2026-10": f"{days} rows of 2 projects, as a partition"}
    assert counts(platform) == (0, 0, 2)
    assert verify(engine).sound
    again = shorten(engine, keep_hours_days="30", keep_days_months="2")
    assert not any(again["removed"].values())


def test_hours_kept_longer_than_their_days_are_not_taken_for_unsealed(
    engine: Engine, platform: Platform
) -> None:
    closed_october(engine, platform)
    archive_october(engine, 1)
    shorten(engine, keep_days_months="2")
    hours, days, _ = counts(platform)
    assert (hours > 0, days) == (True, 0)
    assert verify(engine).sound


def test_a_tier_may_keep_longer(engine: Engine, platform: Platform) -> None:
    closed_october(engine, platform)
    project = platform.scalar("SELECT max(project_id) FROM monthly_stats")
    free = platform.organization("free")
    platform.sql("UPDATE organizations SET tier = 'starter' WHERE id = :id", id=free)
    archive_october(engine, 1)
    assert shorten(engine, keep_hours_days="30,starter=900")["usage_hourly"] == {}
    assert platform.scalar("SELECT count(*) FROM usage_hourly WHERE project_id = :id", id=project) > 0
    assert shorten(engine, keep_hours_days="900,starter=30")["usage_hourly"] != {}


def test_rows_of_the_default_partition_go_in_chunks(engine: Engine, platform: Platform) -> None:
    platform.sql("DROP TABLE usage_hourly_2026_10")  # as if nobody had made it before the first count
    closed_october(engine, platform)
    archive_october(engine, 1)
    assert platform.scalar("SELECT to_regclass('usage_hourly_2026_10')") is None
    hours, _, _ = counts(platform)
    removed_rows = {"2026-10": f"{hours:,} rows of 1 project, in chunks"}
    assert shorten(engine, keep_hours_days="30")["usage_hourly"] == removed_rows
    assert counts(platform)[0] == 0
    assert verify(engine).sound


def test_days_are_deleted_only_after_the_audit_log_says_so(engine: Engine, platform: Platform) -> None:
    closed_october(engine, platform)
    with pytest.raises(IntegrityError, match="sealed"):
        platform.sql("DELETE FROM daily_stats WHERE date = '2026-10-05'")
    archive_october(engine, 1)
    shorten(engine, keep_days_months="900")
    with pytest.raises(IntegrityError, match="sealed"):
        platform.sql("DELETE FROM daily_stats WHERE date = '2026-10-05'")


def test_old_runs_and_resolved_alerts_go_and_dead_letters_stay(engine: Engine, platform: Platform) -> None:
    platform.sql(
        """INSERT INTO job_runs (job, period, at, trigger, requested_by, state, finished_at)
        SELECT 'hourly', n::text, now(), 'schedule', 's', CASE n WHEN 1 THEN 'dead' ELSE 'succeeded' END,
            '2026-01-01Z' FROM generate_series(1, 25000) n"""
    )
    platform.sql(
        """INSERT INTO alerts (kind, severity, subject, opened_at, resolved_at)
        VALUES ('limit', 'warning', 'old', '2026-01-01Z', '2026-01-02Z'),
            ('limit', 'warning', 'open', '2026-01-01Z', NULL)"""
    )
    result = shorten(engine, keep_runs_days=30)
    assert (result["removed"]["job_runs"], result["removed"]["alerts"]) == (24_999, 1)
    assert platform.rows("SELECT subject FROM alerts") == [("open",)]


def test_a_preview_drops_nothing_and_says_what_the_run_then_drops(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    ensure_partitions(engine, OCTOBER.start)
    closed_october(engine, platform)
    archive_october(engine, 1)
    platform.sql(
        """INSERT INTO job_runs (job, period, at, trigger, requested_by, state, finished_at)
        SELECT 'hourly', n::text, now(), 'console', 's', 'failed', '2026-01-01Z'
        FROM generate_series(1, 7) n"""
    )
    before = counts(platform)
    settings = load_settings(keep_hours_days="30", keep_days_months="2")
    previewed = runs.run_now(settings, engine, "retention", MUCH_LATER, dry_run=True).result
    assert counts(platform) == before
    result = runs.run_now(settings, engine, "retention", MUCH_LATER).result
    assert {name: previewed[name] for name in result} == result
    rows = {name: -rows for name, rows in previewed["preview"]["rows"].items() if rows}
    assert rows == {name: count for name, count in result["removed"].items() if count}
    after = counts(platform)
    assert rows == {"usage_hourly": before[0] - after[0], "daily_stats": before[1] - after[1], "job_runs": 7}
    assert after == (0, 0, 1)


def test_of_two_tiers_in_a_partition_the_one_that_is_kept_stays(engine: Engine, platform: Platform) -> None:
    ensure_partitions(engine, OCTOBER.start)
    closed_october(engine, platform, projects=2)
    free = platform.scalar("SELECT min(project_id) FROM monthly_stats")
    platform.sql("ALTER TABLE monthly_stats DISABLE TRIGGER USER")  # as if it had been closed so
    platform.sql("UPDATE monthly_stats SET tier = 'free' WHERE project_id = :id", id=free)
    archive_october(engine, 2)
    result = shorten(engine, keep_hours_days="900,free=30", keep_days_months="24,free=2")
    remaining = platform.rows("SELECT DISTINCT project_id = :id FROM usage_hourly", id=free)
    assert remaining == [(False,)]
    assert platform.rows("SELECT DISTINCT project_id = :id FROM daily_stats", id=free) == [(False,)]
    assert result["daily_stats"]["2026-10"] == "31 rows of 1 project, in chunks"
