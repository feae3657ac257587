"""Months before the installation are history: counted for charts, billed on request only."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from metering.config.settings import Settings
from metering.db.transactions import transaction
from metering.errors import MonthClosed
from metering.months.due import due_months
from metering.pricing import plans
from metering.proof.verify import verify
from metering.running import limits
from tests.support import runs
from tests.support.platform import Platform

INSTALLED = datetime(2026, 9, 20, 10, tzinfo=UTC)
AT = datetime(2026, 10, 2, 1, tzinfo=UTC)
JULY = {"from": "2026-07-01", "to": "2026-07-31"}


@pytest.fixture
def project(configured: Settings, engine: Engine, platform: Platform) -> int:
    """A project with logs in July, August and September, of which the installation is in September."""
    platform.installed(INSTALLED)
    project = platform.project(platform.organization("starter"), created_at="2026-06-10T00:00:00Z")
    for month, logs in ((7, 70), (8, 80), (9, 90)):
        platform.logs(project, datetime(2026, month, 5, 12, tzinfo=UTC), logs)
    runs.run_now(configured, engine, "hourly", INSTALLED)
    return project


def bills(platform: Platform) -> list[tuple[int, int]]:
    return [tuple(row) for row in platform.rows("SELECT month, logs::int FROM monthly_stats ORDER BY month")]


def totals(platform: Platform) -> tuple[int, int]:
    ((logs, lifetime),) = platform.rows("SELECT logs::int, lifetime_logs::int FROM project_stats")
    return logs, lifetime


def test_the_rows_of_the_installations_own_month_are_billed_with_it(
    configured: Settings, engine: Engine, platform: Platform, project: int
) -> None:
    runs.run_now(configured, engine, "monthly", AT)
    assert bills(platform) == [(9, 90)]
    assert verify(engine).sound


@pytest.mark.parametrize(
    "first", [datetime(2026, 9, 30, 23, 55, tzinfo=UTC), AT, datetime(2026, 11, 3, 9, tzinfo=UTC)]
)
def test_the_installations_own_month_is_billed_however_late_the_first_run_is(
    configured: Settings, engine: Engine, platform: Platform, first: datetime
) -> None:
    platform.installed(datetime(2026, 9, 30, 23, 50, tzinfo=UTC))
    organization = platform.organization("starter")
    lasting, ended, ended_before, new = (
        platform.project(organization, created_at=created)
        for created in ("2025-06-01Z", "2025-06-01Z", "2025-06-01Z", "2026-09-30T23:52Z")
    )
    platform.deactivate(ended, datetime(2026, 9, 20, 3, tzinfo=UTC))
    platform.deactivate(ended_before, datetime(2026, 8, 20, 3, tzinfo=UTC))
    for project, logs in ((lasting, 500), (ended, 300), (ended_before, 100)):
        platform.logs(project, datetime(2026, 8, 15, 12, tzinfo=UTC), logs)
        platform.logs(project, datetime(2026, 9, 15, 12, tzinfo=UTC), logs)
    platform.logs(new, datetime(2026, 9, 30, 23, 53, tzinfo=UTC), 7)
    runs.run_now(configured, engine, "hourly", first)
    runs.run_now(configured, engine, "monthly", max(first, AT))
    september = """SELECT project_id, logs::int, days_present, days_expected FROM monthly_stats
        WHERE month = 9 ORDER BY project_id"""
    assert [tuple(row) for row in platform.rows(september)] == [
        (lasting, 500, 30, 30),
        (ended, 300, 20, 20),
        (new, 7, 1, 1),
    ]
    assert platform.scalar("SELECT count(*) FROM monthly_stats WHERE month = 8") == 0, "it is history"
    assert verify(engine).discrepancies == []


def test_history_makes_no_bill_and_is_in_no_total(
    configured: Settings, engine: Engine, platform: Platform, project: int
) -> None:
    before = totals(platform)
    outcome = runs.run_now(configured, engine, "backfill", INSTALLED, arguments=JULY)
    assert outcome.result["days_sealed"] == 31
    assert totals(platform) == before
    assert verify(engine).sound
    preview = runs.run_now(configured, engine, "monthly", AT, dry_run=True)
    assert preview.result["preview"]["rows"]["monthly_stats"] == 1
    runs.run_now(configured, engine, "monthly", AT)
    assert bills(platform) == [(9, 90)]
    assert totals(platform) == (0, 90)
    with transaction(engine) as connection:
        assert due_months(connection, AT) == []
    assert verify(engine).sound
    ((state, reason),) = platform.rows(
        "SELECT state, reason FROM fleetmeter_month_status('2026-07-01', :at)", at=AT
    )
    assert (state, reason.partition(":")[0]) == ("history", "before the installation")


def test_history_is_in_no_limit(
    configured: Settings, engine: Engine, platform: Platform, project: int
) -> None:
    runs.run_now(
        configured, engine, "backfill", INSTALLED, arguments={"from": "2026-06-10", "to": "2026-08-31"}
    )
    service = limits.LimitService(engine, plans.load(None), lambda: INSTALLED)
    organization = platform.scalar("SELECT organization_id FROM projects")
    assert service.check_mqtt_inbound_limit(organization, project).used in (0, None)
    assert totals(platform) == (90, 0)


def test_history_is_billed_where_that_was_asked_for_and_nowhere_else(
    configured: Settings, engine: Engine, platform: Platform, project: int
) -> None:
    arguments = {**JULY, "bill": True}
    preview = runs.run_now(configured, engine, "backfill", AT, arguments=arguments, dry_run=True)
    next_close = preview.result["preview"]["next_close"]
    assert [(bill["month"], bill["days"]) for bill in next_close["bills"]] == [
        ("2026-07", 31),
        ("2026-09", 30),
    ]
    runs.run_now(configured, engine, "backfill", AT, arguments=arguments)
    assert totals(platform)[0] == 70 + 90
    assert verify(engine).sound
    runs.run_now(configured, engine, "monthly", AT)
    assert bills(platform) == [(7, 70), (9, 90)]
    total = platform.scalar("SELECT sum(total_charge)::text FROM monthly_stats")
    assert next_close["money"] == {"USD": total}
    assert totals(platform) == (0, 160)
    assert verify(engine).sound


def test_the_preview_of_a_backfill_says_what_the_next_close_bills(
    configured: Settings, engine: Engine, platform: Platform, project: int
) -> None:
    preview = runs.run_now(configured, engine, "backfill", AT, arguments=JULY, dry_run=True)
    assert [bill["month"] for bill in preview.result["preview"]["next_close"]["bills"]] == ["2026-09"]
    assert bills(platform) == []


def test_days_that_join_a_requested_month_later_are_billed_with_it(
    configured: Settings, engine: Engine, platform: Platform, project: int
) -> None:
    half = {"from": "2026-07-01", "to": "2026-07-04", "bill": True}
    runs.run_now(configured, engine, "backfill", INSTALLED, arguments=half)
    runs.run_now(configured, engine, "backfill", INSTALLED, arguments=JULY)
    assert totals(platform)[0] == 70 + 90
    runs.run_now(configured, engine, "monthly", AT)
    assert bills(platform) == [(7, 70), (9, 90)]
    assert verify(engine).sound


def test_after_a_close_history_can_still_be_counted_but_not_billed(
    configured: Settings, engine: Engine, platform: Platform, project: int
) -> None:
    runs.run_now(configured, engine, "monthly", AT)
    with pytest.raises(MonthClosed):
        runs.run_now(configured, engine, "backfill", AT, arguments={**JULY, "bill": True})
    assert runs.run_now(configured, engine, "backfill", AT, arguments=JULY).result["days_sealed"] == 31
    assert totals(platform) == (0, 90)
    assert verify(engine).sound
