"""A day takes the tier that was in force at its end, however late it is sealed."""

import itertools
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from collectors.platform.source import PLATFORM_DB
from metering.catalogue import tiers
from metering.config.settings import Settings
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.months.close import close_month
from metering.pricing.plans import Plans
from metering.proof.verify import verify
from tests.support.closed_months import OCTOBER, count
from tests.support.platform import Platform

PRORATED = Plans.model_validate(
    {
        "versions": [
            {
                "effective": "2026-01-01",
                "currency": "EUR",
                "prorate": True,
                "tiers": {
                    "free": {"meters": {"mqtt_inbound": {"included": 3_100}}},
                    "pro": {"fee": "310", "meters": {"mqtt_inbound": {"included": 31_000}}},
                },
            }
        ]
    }
)


def october(day: int, hour: int = 0) -> datetime:
    return OCTOBER.start + timedelta(days=day - 1, hours=hour)


def change(platform: Platform, tier: str) -> None:
    platform.sql("UPDATE organizations SET tier = :tier", tier=tier)


def note(engine: Engine, at: datetime) -> None:
    with transaction(engine) as connection:
        tiers.note(connection, at)


def seal(engine: Engine, project: int, at: datetime = OCTOBER.end) -> None:
    with transaction(engine) as connection:
        seal_through(connection, OCTOBER.last, [project], at)


def days_by_tier(platform: Platform) -> dict[str, list[int]]:
    rows = platform.rows("SELECT tier, array_agg(day ORDER BY day) FROM daily_stats GROUP BY tier")
    return {tier: days for tier, days in rows}


def project_of(platform: Platform, tier: str = "free") -> int:
    return platform.project(platform.organization(tier), created_at=OCTOBER.start)


def test_days_sealed_late_take_the_tier_of_their_own_end(engine: Engine, platform: Platform) -> None:
    project = project_of(platform)
    for at in (october(1, 1), october(11, 14)):
        note(engine, at)
    change(platform, "pro")
    for at in (october(11, 15), october(20, 9)):
        note(engine, at)
    change(platform, "free")
    note(engine, october(20, 10))
    seal(engine, project, OCTOBER.end + timedelta(days=20))
    found = days_by_tier(platform)
    assert found["pro"] == list(range(11, 20))
    assert found["free"] == [*range(1, 11), *range(20, 32)]


def test_a_prorated_month_that_is_sealed_at_once_is_billed_by_both_tiers(
    engine: Engine, platform: Platform
) -> None:
    project = project_of(platform)
    organization = platform.scalar("SELECT organization_id FROM projects")
    note(engine, october(1, 1))
    note(engine, october(21, 11))
    change(platform, "pro")
    note(engine, october(21, 12))
    count(engine, organization, project, 2_500, october(5))
    with transaction(engine) as connection:
        done = close_month(connection, OCTOBER, [project], PRORATED, OCTOBER.end, "a@cli")
    assert done.closed == 1
    ((fee, exceeded),) = platform.rows("SELECT plan_fee, exceeded_limits FROM monthly_stats")
    assert fee == Decimal(110), "11 of 31 days at 310"
    assert [(line["tier"], line["days"], line["included"]) for line in exceeded] == [("free", 20, 2_000)]
    assert verify(engine).sound


def test_a_day_sealed_in_time_takes_the_tier_that_stands_there(engine: Engine, platform: Platform) -> None:
    """It changed after the last reading of the day, which nobody saw."""
    project = project_of(platform)
    note(engine, OCTOBER.end - timedelta(minutes=55))
    change(platform, "pro")
    seal(engine, project)
    assert days_by_tier(platform)["pro"] == [31]


def test_without_any_reading_the_tier_is_that_of_now(engine: Engine, platform: Platform) -> None:
    project = project_of(platform, "pro")
    seal(engine, project)
    assert days_by_tier(platform) == {"pro": list(range(1, 32))}


@pytest.mark.parametrize("order", [(3, 9, 20), (20, 9, 3), (9, 3, 20), (9, 20, 3)])
def test_readings_in_any_order_make_intervals_that_do_not_overlap(
    engine: Engine, platform: Platform, order: tuple[int, ...]
) -> None:
    platform.organization("free")
    tier_of = {3: "free", 9: "pro", 20: "pro"}
    for day in (*order, *order):
        change(platform, tier_of[day])
        note(engine, october(day))
    seen = platform.rows("SELECT seen_from, seen_until, tier FROM tiers_seen ORDER BY 1")
    assert all(row.seen_from <= row.seen_until for row in seen)
    assert all(one.seen_until < other.seen_from for one, other in itertools.pairwise(seen))
    assert (seen[0].tier, seen[-1].tier, seen[-1].seen_until) == ("free", "pro", october(20))


def test_the_hourly_refresh_sees_the_tiers(configured: Settings, engine: Engine, platform: Platform) -> None:
    platform.project(platform.organization("starter"), created_at=OCTOBER.start)
    for hour in (1, 2):
        PLATFORM_DB.refresh(configured, engine, october(3, hour))
    found: list[Any] = platform.rows("SELECT tier, seen_from, seen_until FROM tiers_seen")
    assert [tuple(row) for row in found] == [("starter", october(3, 1), october(3, 2))]
