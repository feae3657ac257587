"""A past day or month is described by the last reading before its end, however late it is sealed."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from collectors.platform.source import PLATFORM_DB
from metering.catalogue import history
from metering.catalogue.periods import Day
from metering.config.settings import Settings
from metering.days import completeness, expected_days
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


def read(engine: Engine, *instants: datetime) -> None:
    for at in instants:
        with transaction(engine) as connection:
            history.read(connection, at)


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
        read(engine, at)
    change(platform, "pro")
    for at in (october(11, 15), october(20, 9)):
        read(engine, at)
    change(platform, "free")
    read(engine, october(20, 10))
    seal(engine, project, OCTOBER.end + timedelta(days=20))
    dates = days_by_tier(platform)
    assert dates["pro"] == list(range(11, 20))
    assert dates["free"] == [*range(1, 11), *range(20, 32)]


def test_a_prorated_month_that_is_sealed_at_once_is_billed_by_both_tiers(
    engine: Engine, platform: Platform
) -> None:
    project = project_of(platform)
    organization = platform.scalar("SELECT organization_id FROM projects")
    read(engine, october(1, 1))
    read(engine, october(21, 11))
    change(platform, "pro")
    read(engine, october(21, 12))
    count(engine, organization, project, 2_500, october(5))
    with transaction(engine) as connection:
        result = close_month(connection, OCTOBER, [project], PRORATED, OCTOBER.end, "a@cli")
    assert result.closed == 1
    ((fee, exceeded),) = platform.rows("SELECT plan_fee, exceeded_limits FROM monthly_stats")
    assert fee == Decimal(110), "11 of 31 days at 310"
    assert [(line["tier"], line["days"], line["included"]) for line in exceeded] == [("free", 20, 2_000)]
    assert verify(engine).sound


def test_a_tier_read_at_midnight_belongs_to_the_day_that_begins(engine: Engine, platform: Platform) -> None:
    project = project_of(platform)
    read(engine, OCTOBER.end - timedelta(minutes=55))
    change(platform, "pro")
    read(engine, OCTOBER.end)
    seal(engine, project)
    assert days_by_tier(platform)["free"][-1] == 31


def test_the_last_instant_of_a_day_still_decides_it(engine: Engine, platform: Platform) -> None:
    project = project_of(platform)
    read(engine, october(30))
    change(platform, "pro")
    read(engine, OCTOBER.end - timedelta(microseconds=1))
    seal(engine, project)
    assert days_by_tier(platform)["pro"] == [31]


def test_before_the_first_reading_the_first_later_one_counts(engine: Engine, platform: Platform) -> None:
    project = project_of(platform, "pro")
    read(engine, OCTOBER.end + timedelta(days=3))
    change(platform, "free")
    seal(engine, project, OCTOBER.end + timedelta(days=9))
    assert days_by_tier(platform) == {"pro": list(range(1, 32))}


def test_without_any_reading_the_seal_reads_first(engine: Engine, platform: Platform) -> None:
    project = project_of(platform, "pro")
    seal(engine, project)
    change(platform, "free")
    seal(engine, project, OCTOBER.end + timedelta(days=1))
    assert days_by_tier(platform) == {"pro": list(range(1, 32))}
    assert platform.scalar("SELECT tier FROM organization_tiers") == "pro"


def test_a_reading_that_is_older_than_another_changes_nothing(engine: Engine, platform: Platform) -> None:
    project = project_of(platform)
    read(engine, october(9), october(20))
    change(platform, "pro")
    read(engine, october(12))
    seal(engine, project)
    assert days_by_tier(platform) == {"free": list(range(1, 32))}


def test_the_hourly_refresh_reads_the_catalogue(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = platform.project(platform.organization("starter"), created_at=OCTOBER.start)
    for hour in (1, 2):
        PLATFORM_DB.refresh(configured, engine, october(3, hour))
    tiers: list[Any] = platform.rows("SELECT tier, read_from FROM organization_tiers")
    assert [tuple(row) for row in tiers] == [("starter", october(3, 1))]
    with transaction(engine) as connection:
        assert [at for at, _ in history.owners(connection, project)] == [october(3, 1)]


def move(platform: Platform, project: int, organization: int) -> None:
    platform.sql("UPDATE projects SET organization_id = :to WHERE id = :id", to=organization, id=project)


def days_by_owner(platform: Platform) -> dict[int, list[int]]:
    rows = platform.rows("""
        SELECT organization_id, array_agg(day ORDER BY day) FROM daily_stats GROUP BY organization_id""")
    return {owner: days for owner, days in rows}


def test_a_day_keeps_its_own_owner_and_the_bill_goes_to_the_owner_at_the_end(
    engine: Engine, platform: Platform
) -> None:
    seller, buyer = platform.organization("free", "Seller"), platform.organization("pro", "Buyer")
    project = platform.project(seller, created_at=OCTOBER.start)
    read(engine, october(1, 1))
    move(platform, project, buyer)
    read(engine, october(21, 5))
    move(platform, project, seller)
    read(engine, OCTOBER.end)
    with transaction(engine) as connection:
        close_month(connection, OCTOBER, [project], PRORATED, OCTOBER.end + timedelta(days=2), "a@cli")
    assert days_by_owner(platform) == {seller: list(range(1, 21)), buyer: list(range(21, 32))}
    ((owner, tier, fee),) = platform.rows("SELECT organization_id, tier, plan_fee FROM monthly_stats")
    assert (owner, tier, fee) == (buyer, "pro", Decimal(110))
    with transaction(engine) as connection:
        assert history.owner_at(connection, project, october(21)) == seller
        assert history.owner_at(connection, project, october(22)) == buyer
        assert history.owner_at(connection, project, OCTOBER.end + timedelta(hours=1)) == seller


def switch(platform: Platform, on: bool, deactivated_at: datetime | None = None) -> None:
    platform.sql("UPDATE projects SET is_active = :on, deactivated_at = :at", on=on, at=deactivated_at)


def closed(engine: Engine, project: int, at: datetime = OCTOBER.end) -> None:
    with transaction(engine) as connection:
        assert close_month(connection, OCTOBER, [project], PRORATED, at, "a@cli").closed == 1


def days_on(platform: Platform) -> list[int]:
    return [day for (day,) in platform.rows("SELECT day FROM daily_stats ORDER BY day")]


def test_days_off_from_beginning_to_end_are_neither_sealed_nor_billed(
    engine: Engine, platform: Platform
) -> None:
    project = project_of(platform, "pro")
    read(engine, october(9, 23))
    switch(platform, False, october(10, 5))
    read(engine, october(10, 6))
    switch(platform, True)
    read(engine, october(20, 7))
    closed(engine, project)
    assert days_on(platform) == [*range(1, 11), *range(20, 32)]
    ((fee, present, expected),) = platform.rows(
        "SELECT plan_fee, days_present, days_expected FROM monthly_stats"
    )
    assert (fee, present, expected) == (Decimal(220), 22, 22)
    with transaction(engine) as connection:
        assert expected_days.missing_days(connection, OCTOBER.first, OCTOBER.last, OCTOBER.end) == []
        assert history.was_off(connection, project, Day.of(october(11)))
        assert not history.was_off(connection, project, Day.of(october(10)))
        days = completeness.read(connection, OCTOBER.first, OCTOBER.last, OCTOBER.end)
        assert all(day.is_complete for day in days)


@pytest.mark.parametrize(
    ("deactivated_at", "read_at", "last_day"),
    [
        (None, october(10, 6), 10),
        (None, october(11), 10),
        (october(8, 6), october(9, 6), 8),
        (october(9), october(9, 6), 8),
        (october(2), october(9, 6), 7),  # it was read as on since, at noon of the 7th
    ],
)
def test_a_project_is_off_from_its_date_or_from_when_that_is_first_read(
    engine: Engine,
    platform: Platform,
    deactivated_at: datetime | None,
    read_at: datetime,
    last_day: int,
) -> None:
    project = project_of(platform, "pro")
    count(engine, platform.scalar("SELECT organization_id FROM projects"), project, 70_000, october(3))
    read(engine, october(7, 12))
    switch(platform, False, deactivated_at)
    read(engine, read_at)
    closed(engine, project)
    assert days_on(platform) == list(range(1, last_day + 1))
    assert platform.scalar("SELECT days_expected FROM monthly_stats") == last_day
    assert platform.scalar("SELECT mqtt_inbound FROM monthly_stats") == 70_000
    assert verify(engine).sound


def test_a_project_that_was_never_read_as_on_is_billed_for_what_was_counted(
    engine: Engine, platform: Platform
) -> None:
    project = project_of(platform, "pro")
    count(engine, platform.scalar("SELECT organization_id FROM projects"), project, 70_000, october(3))
    switch(platform, False)
    closed(engine, project)
    assert platform.scalar("SELECT mqtt_inbound FROM monthly_stats") == 70_000


def test_rows_and_messages_of_a_day_off_are_not_counted(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = project_of(platform, "pro")
    organization = platform.scalar("SELECT organization_id FROM projects")
    PLATFORM_DB.refresh(configured, engine, october(9, 1))
    switch(platform, False)
    PLATFORM_DB.refresh(configured, engine, october(9, 2))
    for day in (9, 12):
        platform.logs(project, october(day, 3))
        count(engine, organization, project, 1, october(day, 3))
        PLATFORM_DB.refresh(configured, engine, october(day, 4))
    PLATFORM_DB.refresh(configured, engine, october(13, 4))
    rows = platform.rows("""
        SELECT extract(day FROM hour)::int, sum(logs)::int, sum(mqtt_inbound)::int FROM usage_hourly
        GROUP BY 1 HAVING sum(logs + mqtt_inbound) > 0""")
    assert [tuple(row) for row in rows] == [(9, 1, 1)]
    assert platform.scalar("SELECT reason FROM unattributed_messages") == "project_inactive"
