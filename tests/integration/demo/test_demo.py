"""The demo: its history obeys the laws, goes on after an interruption, and shows what it promises."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Engine

from collectors.platform.source import PLATFORM_DB
from fleetmeter.demo import history, platform_rows, world
from metering.catalogue.periods import Day
from metering.config.settings import Settings
from metering.days import expected_days
from metering.db.transactions import transaction
from metering.pricing import plans
from metering.proof.verify import verify
from metering.running.limits import LimitService
from tests.support import runs
from tests.support.platform import Platform

NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)


# Whether each repaired day has at least half of the smallest usage of the days around it.
USAGE_AS_BEFORE = """
    SELECT count(*) = 3 AND bool_and(mqtt_inbound > least AND logs > 0 AND api_calls > 0)
    FROM daily_stats, (SELECT min(mqtt_inbound) / 2 AS least FROM daily_stats WHERE project_id = :id
        AND date >= '2026-11-01' AND date <> ALL(:days)) around
    WHERE project_id = :id AND date = ANY(:days)"""


# Whether each day of a busy project has what its messages let expect, to a tenth.
IN_PROPORTION = """
    SELECT bool_and(abs(logs * 2000.0 / messages - 1) < 0.1 AND abs(api_calls * 2500.0 / messages - 1) < 0.1
        AND abs(sessions * 20000.0 / messages - 1) < 0.1 AND deployments BETWEEN 1 AND 3
        AND (docker_upload_bytes + docker_download_bytes + data_transfer_bytes) / payload
            BETWEEN 0.02 AND 0.04)
    FROM (SELECT d.*, (mqtt_inbound + mqtt_outbound)::numeric AS messages,
        (mqtt_inbound_bytes + mqtt_outbound_bytes)::numeric AS payload FROM daily_stats d
        WHERE project_id <= 8) busy"""


def missing_dates() -> list[date]:
    return [day.date for day in world.missing_days(NOW)]


def bills_of_october(platform: Platform) -> dict[str, object]:
    """Return what became of the customers of whom the demo tells a story."""
    bill = "SELECT {} FROM monthly_stats WHERE project_id = :id"
    return {
        "tier changed": platform.scalar(bill.format("tier"), id=9),
        "owner then": platform.scalar(bill.format("organization_id"), id=world.MOVED),
        "owner now": platform.scalar(
            "SELECT organization_id FROM daily_stats WHERE project_id = :id ORDER BY date DESC LIMIT 1",
            id=world.MOVED,
        ),
        "corrected": platform.scalar(
            "SELECT amount FROM adjustments WHERE project_id = :id AND usage_date = '2026-10-31'",
            id=world.CORRECTED,
        ),
    }


class Interrupted(Exception):
    pass


@pytest.mark.drill
def test_an_interrupted_history_goes_on_and_holds_what_the_demo_promises(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    platform.sql("ALTER TABLE audit_log DISABLE TRIGGER USER")
    platform.sql("UPDATE audit_log SET at = :at WHERE action = 'install'", at=NOW)  # as after a migration

    def stop_half_way(what: str, completed: int, total: int) -> None:
        if completed > total / 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        history.make(engine, NOW, stop_half_way, months=1)
    half = platform.scalar("SELECT count(*) FROM daily_stats") or 0
    history.make(engine, NOW, lambda *_: None, months=1)
    history.make(engine, NOW, lambda *_: None, months=1)
    assert 0 < half < (platform.scalar("SELECT count(*) FROM daily_stats") or 0)
    assert verify(engine).discrepancies == []
    assert platform.scalar("SELECT count(*) FROM monthly_stats") == len(world.PROJECTS)

    with transaction(engine) as connection:
        missing = expected_days.missing_days(
            connection, Day.parse("2026-10-01"), Day.parse("2026-11-23"), NOW
        )
    assert {(day.project_id, Day(day.date)) for day in missing} == {
        (world.MISSING_DAYS, day) for day in world.missing_days(NOW)
    }
    days = {"from": "2026-11-01", "to": "2026-11-23"}
    repaired = runs.run_now(configured, engine, "backfill", NOW, arguments=days)
    assert repaired.result["days_sealed"] == 3
    assert platform.scalar(USAGE_AS_BEFORE, id=world.MISSING_DAYS, days=missing_dates())
    assert verify(engine).discrepancies == []
    assert platform.scalar("SELECT count(*) FROM monthly_stats WHERE overage_charge > 0") == 8
    assert bills_of_october(platform) == {
        "tier changed": "pro",
        "owner then": world.FORMER_OWNER,
        "owner now": 4,
        "corrected": -12,
    }

    limits = LimitService(engine, plans.load(world.PLANS), clock=lambda: NOW)
    owner = world.OWNERS[world.OVER_LIMIT - 1]
    assert not limits.check_mqtt_inbound_limit(owner, world.OVER_LIMIT).allowed
    assert limits.check_mqtt_inbound_limit(1, 1).allowed


@pytest.mark.drill
def test_a_later_start_fills_the_days_between_and_makes_nothing_special_again(
    engine: Engine, platform: Platform
) -> None:
    history.make(engine, NOW, lambda *_: None, months=0)
    later = NOW + timedelta(days=12)
    history.make(engine, later, lambda *_: None, months=0)
    assert verify(engine).discrepancies == []
    with transaction(engine) as connection:
        missing = expected_days.missing_days(
            connection, Day.parse("2026-11-01"), Day.of(later).previous(), later
        )
    assert {Day(day.date) for day in missing} == set(world.missing_days(NOW))
    assert (
        platform.scalar(
            "SELECT count(*) FROM logs WHERE project_id = :id AND created_at > :off",
            id=world.INACTIVE,
            off=world.inactive_from(NOW) + timedelta(days=1),
        )
        == 0
    )
    recount = PLATFORM_DB.recount_late(engine, datetime.now(UTC) + timedelta(hours=25))
    assert recount.days > 0
    assert recount.adjustments == 0


def test_usage_is_in_proportion_to_messages_also_where_the_platform_has_pruned_its_rows(
    engine: Engine, platform: Platform
) -> None:
    history.make(engine, NOW, lambda *_: None, months=0)
    oldest = platform.scalar("SELECT min(created_at) FROM logs")
    assert Day.of(oldest) == Day.of(NOW - platform_rows.RETENTION)
    assert platform.scalar(IN_PROPORTION)
