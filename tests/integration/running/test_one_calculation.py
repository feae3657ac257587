"""One minute before the month ends, the spend so far is the bill that the close makes."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from metering.catalogue import history
from metering.config.settings import Settings
from metering.db.transactions import transaction
from metering.months import adjustments, explain
from metering.months.adjustment import Adjustment
from metering.months.close import close_month
from metering.pricing.month_versions import in_month
from metering.pricing.plans import Plans
from metering.proof.verify import verify
from metering.running import allowances, checks, limits, spend
from metering.running.spend import Spend
from tests.support.closed_months import OCTOBER, count
from tests.support.platform import Platform


def plans(*changes: dict[str, Any], prorate: bool = True) -> Plans:
    """Return plans of 3,100 messages for 31.00; each change is a later version."""
    terms = {"fee": "31.00", "included": 3_100, "price": "0.01", "effective": "2026-01-01"}
    versions = []
    for change in ({}, *changes):
        own = terms | change
        overage = {"model": "per_unit", "price": own["price"]}
        meters = {"mqtt_inbound": {"included": own["included"], "overage": overage}}
        versions.append(
            {
                "effective": own["effective"],
                "currency": "EUR",
                "prorate": prorate,
                "tiers": {"pro": {"fee": own["fee"], "meters": meters}, "free": {}},
            }
        )
    return Plans.model_validate({"versions": versions})


def october(day: int, hour: int = 0) -> datetime:
    return OCTOBER.start + timedelta(days=day - 1, hours=hour)


def read(engine: Engine, at: datetime) -> None:
    with transaction(engine) as connection:
        history.read(connection, at)


def spent(engine: Engine, offered: Plans, at: datetime) -> Spend:
    with engine.connect() as connection:
        (one,) = spend.by_project(connection, offered, at)
        return one


def billed(engine: Engine, platform: Platform, offered: Plans) -> Decimal:
    ids = [row.id for row in platform.rows("SELECT id FROM projects")]
    with transaction(engine) as connection:
        assert close_month(connection, OCTOBER, ids, offered, OCTOBER.end, "a@cli").closed == 1
    assert verify(engine).sound
    total: Decimal = platform.scalar("SELECT total_charge FROM monthly_stats")
    return total


LAST_MINUTE = OCTOBER.end - timedelta(minutes=1)
DEARER = {"effective": "2026-10-16", "fee": "62.00", "included": 310, "price": "0.02"}


def usage(engine: Engine, platform: Platform, created: datetime = OCTOBER.start) -> int:
    project = platform.project(platform.organization("pro"), created_at=created)
    organization = platform.scalar("SELECT organization_id FROM projects")
    read(engine, max(created, OCTOBER.start) + timedelta(hours=1))
    for day, messages in ((3, 1_700), (18, 2_500), (31, 40)):
        if october(day) >= created:
            count(engine, organization, project, messages, october(day, 5))
    return project


@pytest.mark.parametrize("prorate", [True, False])
@pytest.mark.parametrize("changes", [(), (DEARER,)])
@pytest.mark.parametrize("story", ["whole", "created late", "left", "tier changed", "paused", "corrected"])
def test_so_far_is_the_bill(
    engine: Engine, platform: Platform, story: str, changes: tuple[dict[str, Any], ...], prorate: bool
) -> None:
    offered = plans(*changes, prorate=prorate)
    project = usage(engine, platform, october(17) if story == "created late" else OCTOBER.start)
    if story == "left":
        platform.deactivate(project, october(20, 3))
        read(engine, october(20, 4))
    if story == "tier changed":
        platform.sql("UPDATE organizations SET tier = 'free'")
        read(engine, october(17, 12))
    if story == "paused":
        platform.deactivate(project, october(10, 3))
        read(engine, october(10, 4))
        platform.sql("UPDATE projects SET is_active = true, deactivated_at = NULL")
        read(engine, october(20, 4))
    if story == "corrected":
        about = Adjustment(project, "mqtt_inbound", 900, None, date(2026, 10, 2), "recount", "a@cli")
        with transaction(engine) as connection:
            adjustments.post(connection, about, offered, october(12))
    so_far = spent(engine, offered, LAST_MINUTE).so_far
    assert so_far == billed(engine, platform, offered)


def test_each_price_version_rates_its_own_days(engine: Engine, platform: Platform) -> None:
    usage(engine, platform)
    # 15 days: fee 15.00, 1,500 of 1,700 included, 2.00; 16 days: fee 32.00, 160 of 2,540, 47.60.
    assert billed(engine, platform, plans(DEARER)) == Decimal("96.60")
    ((versions, exceeded),) = platform.rows("SELECT versions, exceeded_limits FROM monthly_stats")
    assert [part["from"] for part in versions] == ["2026-10-01", "2026-10-16"]
    assert [(line["days"], line["included"]) for line in exceeded] == [(15, 1_500), (16, 160)]


def test_without_proration_the_version_at_the_end_rates_the_month(engine: Engine, platform: Platform) -> None:
    usage(engine, platform)
    assert billed(engine, platform, plans(DEARER, prorate=False)) == Decimal("62.00") + Decimal("78.60")
    assert platform.scalar("SELECT versions FROM monthly_stats") == []


def test_corrections_are_not_extrapolated(engine: Engine, platform: Platform) -> None:
    project = platform.project(platform.organization("pro"), created_at=OCTOBER.start)
    read(engine, october(1, 1))
    about = Adjustment(project, "mqtt_inbound", 3_200, None, date(2026, 10, 1), "recount", "a@cli")
    offered = plans(prorate=False)
    with transaction(engine) as connection:
        adjustments.post(connection, about, offered, october(2))
    one = spent(engine, offered, october(3))
    assert (one.so_far, one.projected) == (Decimal("32.00"), Decimal("32.00"))


def test_nothing_is_projected_in_the_first_hours_of_a_month(engine: Engine, platform: Platform) -> None:
    project = platform.project(platform.organization("pro"), created_at=october(1) - timedelta(days=3))
    organization = platform.scalar("SELECT organization_id FROM projects")
    count(engine, organization, project, 50, OCTOBER.start)
    offered = plans(prorate=False)
    assert spent(engine, offered, OCTOBER.start + timedelta(seconds=30)).projected is None
    assert spent(engine, offered, october(1, 23)).projected is None
    assert spent(engine, offered, october(2, 1)).projected == Decimal("31.00")


@pytest.mark.parametrize("minutes", [-1, 0, 1, 720])
def test_a_projection_counts_the_running_day_once(engine: Engine, platform: Platform, minutes: int) -> None:
    platform.project(platform.organization("pro"), created_at=OCTOBER.start)
    read(engine, october(1, 1))
    assert spent(engine, plans(), october(15) + timedelta(minutes=minutes)).projected == Decimal("31.00")


def limit_of(engine: Engine, platform: Platform, offered: Plans, project: int, at: datetime) -> limits.Limit:
    organization = platform.scalar("SELECT organization_id FROM projects")
    return limits.LimitService(engine, offered, lambda: at).check_mqtt_inbound_limit(organization, project)


@pytest.mark.parametrize("prorate", [True, False])
@pytest.mark.parametrize("changes", [(), (DEARER,)])
@pytest.mark.parametrize("story", ["whole", "created late", "paused", "tier changed", "corrected"])
def test_a_limit_is_what_the_close_includes(
    engine: Engine, platform: Platform, story: str, changes: tuple[dict[str, Any], ...], prorate: bool
) -> None:
    """Of the last tier and prices, whose share comes after what was used under the ones before."""
    offered = plans(*changes, prorate=prorate)
    project = usage(engine, platform, october(17) if story == "created late" else OCTOBER.start)
    if story == "tier changed":
        platform.sql("UPDATE organizations SET tier = 'free'")
        read(engine, october(5, 12))
        platform.sql("UPDATE organizations SET tier = 'pro'")
        read(engine, october(20, 12))
    if story == "paused":
        platform.deactivate(project, october(10, 3))
        read(engine, october(10, 4))
        platform.sql("UPDATE projects SET is_active = true, deactivated_at = NULL")
        read(engine, october(20, 4))
    if story == "corrected":
        about = Adjustment(project, "mqtt_inbound", 900, None, date(2026, 10, 2), "recount", "a@cli")
        with transaction(engine) as connection:
            adjustments.post(connection, about, offered, october(12))
    early = limit_of(engine, platform, offered, project, october(21, 9))
    limit = limit_of(engine, platform, offered, project, LAST_MINUTE)
    with engine.connect() as connection:
        (check,) = checks.of_project(connection, offered, project, LAST_MINUTE, ("mqtt_inbound",))
        versions = in_month(offered, OCTOBER)
        (row,) = allowances.projects(connection, versions, LAST_MINUTE, 0.0, False, project)
    assert check.limit == limit
    assert (row["used"], row["included"]) == (limit.used, limit.limit)
    assert early.limit == limit.limit, "from the middle of the month on"
    billed(engine, platform, offered)
    with engine.connect() as connection:
        line = explain.explain(connection, project, OCTOBER).lines[-1].line
    assert limit.used is not None
    assert line.used is not None
    assert limit.limit == limit.used - int(line.used) + line.included
    assert max(limit.used - limit.limit, 0) == line.overage
    assert (line.days < line.of or limit.used > line.used) == ("in proportion" in limit.reason)


def test_the_share_of_a_price_ends_where_the_next_one_begins(engine: Engine, platform: Platform) -> None:
    """15 of 31 days at 3,100 messages a month, then 16 days at 310."""
    project, offered = usage(engine, platform), plans(DEARER)
    assert limit_of(engine, platform, offered, project, october(12)).limit == 1_500
    assert limit_of(engine, platform, offered, project, october(16)).limit == 1_700 + 160


def test_a_limit_counts_corrections_and_is_that_of_the_bill(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = platform.project(platform.organization("pro"), created_at=OCTOBER.start)
    organization = platform.scalar("SELECT organization_id FROM projects")
    count(engine, organization, project, 1_000, october(3))
    offered = plans(DEARER, prorate=False)
    about = Adjustment(project, "mqtt_inbound", -500, None, date(2026, 10, 3), "recount", "a@cli")
    with transaction(engine) as connection:
        adjustments.post(connection, about, offered, october(4))
    limit = limits.LimitService(engine, offered, lambda: october(12)).check_mqtt_inbound_limit(
        organization, project
    )
    assert (limit.used, limit.limit) == (500, 310)
