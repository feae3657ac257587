"""Spend while the month runs: so far, and projected."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine

from metering.catalogue import history
from metering.catalogue.periods import Day
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.months import adjustments
from metering.months.adjustment import Adjustment
from metering.pricing import plans
from metering.running import organization_spend, spend
from metering.running.spend import Spend
from tests.support.closed_months import OCTOBER, close, closed_october, count
from tests.support.platform import Platform

NOVEMBER = OCTOBER.next()
MIDWAY = datetime(2026, 11, 16, tzinfo=UTC)


def spent(engine: Engine, at: datetime = MIDWAY, **only: int) -> list[Spend]:
    with engine.connect() as connection:
        return spend.by_project(connection, plans.load(None), at, **only)


def test_the_month_so_far_and_as_it_will_be(engine: Engine, platform: Platform) -> None:
    (project,) = closed_october(engine, platform)
    organization = platform.scalar("SELECT organization_id FROM projects")
    count(engine, organization, project, 900_000, NOVEMBER.start)
    with transaction(engine) as connection:
        seal_through(connection, Day.of(NOVEMBER.start), [project], MIDWAY)
    count(engine, organization, project, 700_000, datetime(2026, 11, 15, 23, tzinfo=UTC))
    (month,) = spent(engine)
    # 1.6 of 1 million in half a month: one package; 3.2 million in a whole one: three.
    assert (month.so_far, month.projected) == (Decimal("30.00"), Decimal("32.00"))


def test_october_still_open_is_not_november(engine: Engine, platform: Platform) -> None:
    organization = platform.organization("starter")
    project = platform.project(organization, created_at=OCTOBER.start)
    count(engine, organization, project, 5_000_000, datetime(2026, 10, 20, tzinfo=UTC))
    (month,) = spent(engine)
    assert month.so_far == month.projected == Decimal("29.00")


def test_a_project_that_ended_is_not_projected_beyond_its_end(engine: Engine, platform: Platform) -> None:
    organization = platform.organization("starter")
    project = platform.project(organization, created_at=NOVEMBER.start)
    count(engine, organization, project, 1_600_000, NOVEMBER.start)
    platform.deactivate(project, datetime(2026, 11, 3, 12, tzinfo=UTC))
    (month,) = spent(engine)
    assert month.so_far == month.projected == Decimal("30.00")


def test_who_left_is_there_with_what_is_still_billed(engine: Engine, platform: Platform) -> None:
    """A refund, and usage that was counted before the end was known; without either there is no bill."""
    refunded, used, _ = closed_october(engine, platform, projects=3)
    organization = platform.scalar("SELECT organization_id FROM projects LIMIT 1")
    count(engine, organization, used, 1_600_000, MIDWAY - timedelta(days=1))
    platform.sql("UPDATE projects SET is_active = false, deactivated_at = '2026-10-20Z'")
    about = Adjustment(refunded, None, None, Decimal("-7.00"), OCTOBER.start.date(), "goodwill", "a@cli")
    with transaction(engine) as connection:
        adjustments.post(connection, about, plans.load(None), MIDWAY)
    charges = {one.project_id: (one.so_far, one.projected) for one in spent(engine)}
    assert charges[refunded] == (Decimal("-7.00"), None)
    assert charges[used] == (Decimal("30.00"), None)
    assert len(charges) == 2
    close(engine, [refunded, used], NOVEMBER)
    query = "SELECT project_id, total_charge FROM monthly_stats WHERE month = 11"
    assert {row[0]: row[1] for row in platform.rows(query)} == {
        key: value[0] for key, value in charges.items()
    }


def test_an_organization_is_the_sum_of_its_projects(engine: Engine, platform: Platform) -> None:
    closed_october(engine, platform, projects=2)
    closed_october(engine, platform)
    sums = organization_spend.by_organization(spent(engine))
    assert [(each.projects, each.so_far) for each in sums] == [(2, Decimal("58.00")), (1, Decimal("29.00"))]
    only = spent(engine, organization_id=sums[1].organization_id)
    assert [each.organization_id for each in only] == [sums[1].organization_id]


def test_a_tier_that_no_plan_names_stops_no_other(engine: Engine, platform: Platform) -> None:
    closed_october(engine, platform, projects=1)
    closed_october(engine, platform, projects=1)
    platform.sql("UPDATE organizations SET tier = 'platinum' WHERE id = (SELECT min(id) FROM organizations)")
    with transaction(engine) as connection:
        history.read(connection, MIDWAY)
    assert len(spent(engine)) == 1
    with engine.connect() as connection:
        (left_out,) = spend.unpriced(connection, plans.load(None), MIDWAY)
    assert left_out["tier"] == "platinum"


def test_adjustments_are_rounded_as_the_bill_will_be(engine: Engine, platform: Platform) -> None:
    (project,) = closed_october(engine, platform)
    about = Adjustment(project, None, None, Decimal("-7.26"), OCTOBER.first.date, "goodwill", "a@cli")
    with transaction(engine) as connection:
        adjustments.post(connection, about, plans.load(None), MIDWAY)
    assert spent(engine)[0].so_far == Decimal("21.74")


def test_what_was_never_counted_has_its_fee(engine: Engine, platform: Platform) -> None:
    """Made just now, before any refresh: it will be billed, so it is shown."""
    platform.project(platform.organization("starter"), created_at=MIDWAY)
    (month,) = spent(engine, MIDWAY + timedelta(minutes=5))
    assert (month.so_far, month.projected) == (Decimal("29.00"), None)


@pytest.mark.parametrize(
    ("at", "projected"),
    [
        (NOVEMBER.start + timedelta(minutes=30), None),
        (NOVEMBER.end - timedelta(minutes=30), Decimal("30.00")),
    ],
)
def test_the_first_and_the_last_hour_of_a_month(
    engine: Engine, platform: Platform, at: datetime, projected: Decimal | None
) -> None:
    """1 million messages included, each started million more costs 1.00; too little is known at first."""
    (project,) = closed_october(engine, platform)
    organization = platform.scalar("SELECT organization_id FROM projects")
    count(engine, organization, project, 1_000_000, NOVEMBER.start)
    (month,) = spent(engine, at)
    assert (month.so_far, month.projected) == (Decimal("29.00"), projected)
