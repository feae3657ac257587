"""A correction leaves every month with a total that a bill can hold, or it is refused."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import Engine

from metering.catalogue import history
from metering.catalogue.periods import Month
from metering.db.transactions import transaction
from metering.errors import AdjustmentRefused
from metering.months import adjustments, corrected_bills, gaps
from metering.months.adjustment import LARGEST, Adjustment
from metering.months.close import close_month
from metering.pricing import plans
from metering.proof.verify import verify
from tests.support.closed_months import OCTOBER, close, count
from tests.support.platform import Platform

OFFERED = plans.load(None)
NOVEMBER = OCTOBER.next()
IN_OCTOBER = datetime(2026, 10, 20, 9, tzinfo=UTC)
IN_NOVEMBER = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
NEGATIVE = "no total of a month is negative"


def used(engine: Engine, platform: Platform, messages: int, at: datetime = IN_OCTOBER) -> int:
    project = platform.project(created_at=OCTOBER.start)
    organization = platform.scalar("SELECT organization_id FROM projects WHERE id = :id", id=project)
    count(engine, organization, project, messages, at)
    return project


def correct(engine: Engine, project: int, quantity: int, at: datetime, about: date) -> int:
    one = Adjustment(project, "mqtt_inbound", quantity, None, about, "miscounted", "a@cli")
    with transaction(engine) as connection:
        return adjustments.post(connection, one, OFFERED, at)


def insert(platform: Platform, project: int, quantity: int, month: Month) -> None:
    """Post a correction as earlier versions did, which did not look at the total."""
    platform.sql(
        """INSERT INTO adjustments (project_id, kind, meter, quantity, usage_date, posted_month, reason,
                actor)
            VALUES (:id, 'correction', 'mqtt_inbound', :quantity, :first, :first, 'before', 'a@cli')""",
        id=project,
        quantity=quantity,
        first=month.first.date,
    )


def blocked(engine: Engine, project: int, month: Month) -> str:
    with transaction(engine) as connection:
        result = close_month(connection, month, [project], OFFERED, month.end, "a@cli")
    assert result.closed == 0
    return result.blocked[project]


def test_an_open_month_gives_back_no_more_than_was_used(engine: Engine, platform: Platform) -> None:
    project = used(engine, platform, 10)
    about = IN_OCTOBER.date()
    correct(engine, project, -4, IN_OCTOBER, about)
    with pytest.raises(AdjustmentRefused, match=r"used 6 mqtt_inbound in 2026-10, as corrected; no more"):
        correct(engine, project, -7, IN_OCTOBER, about)
    correct(engine, project, -6, IN_OCTOBER, about)
    close(engine, [project], OCTOBER)
    assert platform.scalar("SELECT mqtt_inbound FROM monthly_stats") == 0
    assert verify(engine).sound


def test_a_month_with_a_negative_total_waits_for_a_reversal(engine: Engine, platform: Platform) -> None:
    project = used(engine, platform, 10)
    insert(platform, project, -4_000, OCTOBER)
    says = "mqtt_inbound is -3,990 with corrections of -4,000; reverse one of them"
    with engine.connect() as connection:
        (state,) = gaps.statuses(connection, OCTOBER, OCTOBER.end, OFFERED)
    assert (state.state, state.reason) == ("blocked", says)
    assert blocked(engine, project, OCTOBER) == says
    with transaction(engine) as connection:
        adjustments.reverse(connection, project, 1, "wrong", "a@cli", OFFERED, OCTOBER.end)
    close(engine, [project], OCTOBER)
    assert platform.scalar("SELECT mqtt_inbound FROM monthly_stats") == 10


def test_a_month_with_a_total_beyond_64_bits_says_so(engine: Engine, platform: Platform) -> None:
    project = used(engine, platform, 10)
    insert(platform, project, 2**63 - 1, OCTOBER)
    assert blocked(engine, project, OCTOBER).startswith("mqtt_inbound is 9,223,372,036,854,775,817 with")


def test_a_bill_with_a_negative_total_is_named(engine: Engine, platform: Platform) -> None:
    project = used(engine, platform, 10)
    close(engine, [project], OCTOBER)
    platform.sql("ALTER TABLE monthly_stats DISABLE TRIGGER USER")
    platform.sql("UPDATE monthly_stats SET mqtt_inbound = -1, meters = '{\"jobs\": -2}'")
    discrepancies = [one for one in verify(engine).discrepancies if one.law == NEGATIVE]
    assert [(one.project_id, one.period, one.meter, one.found) for one in discrepancies] == [
        (project, "2026-10", "jobs", "-2"),
        (project, "2026-10", "mqtt_inbound", "-1"),
    ]


def test_a_month_that_was_off_throughout_takes_no_quantity(engine: Engine, platform: Platform) -> None:
    """Off from 28 October to 2 December: November has no day, and so nothing would be charged."""
    project = used(engine, platform, 10)
    december = datetime(2026, 12, 2, 9, tzinfo=UTC)
    with transaction(engine) as connection:
        history.read(connection, OCTOBER.start)
    platform.deactivate(project, datetime(2026, 10, 28, tzinfo=UTC))
    with transaction(engine) as connection:
        history.read(connection, datetime(2026, 10, 28, 1, tzinfo=UTC))
    platform.sql("UPDATE projects SET is_active = true, deactivated_at = NULL")
    with transaction(engine) as connection:
        history.read(connection, december)
    close(engine, [project], OCTOBER)
    says = "was off in 2026-11 and used nothing in it; correct a month in which it was on, or post an amount"
    with pytest.raises(AdjustmentRefused, match=says):
        correct(engine, project, 5, december, date(2026, 11, 15))
    correct(engine, project, 5, december, date(2026, 12, 2))
    insert(platform, project, 5, NOVEMBER)
    says = "a correction of +5 mqtt_inbound and no day in the month; reverse it"
    assert blocked(engine, project, NOVEMBER) == says


def test_days_before_the_installation_in_its_own_month_are_corrected_with_it(
    engine: Engine, platform: Platform
) -> None:
    """Off before the installation, and no job has run yet: October's first days are still to be sealed."""
    platform.installed(datetime(2026, 10, 23, tzinfo=UTC))
    project = platform.project(created_at=datetime(2026, 9, 20, tzinfo=UTC))
    platform.deactivate(project, datetime(2026, 10, 10, tzinfo=UTC))
    correct(engine, project, 5, IN_NOVEMBER, date(2026, 10, 8))
    credit = Adjustment(project, None, None, Decimal("-1.63"), date(2026, 10, 8), "a credit", "finance")
    with transaction(engine) as connection:
        adjustments.post(connection, credit, OFFERED, IN_NOVEMBER)
    assert platform.rows("SELECT DISTINCT posted_month FROM adjustments") == [(OCTOBER.first.date,)]


def test_an_amount_about_a_month_without_days_is_on_the_next_bill(engine: Engine, platform: Platform) -> None:
    """Off in November: others were billed for it long ago, and no close makes a late bill of it."""
    project = used(engine, platform, 10)
    platform.deactivate(project, datetime(2026, 10, 28, tzinfo=UTC))
    december = datetime(2026, 12, 2, 9, tzinfo=UTC)
    with transaction(engine) as connection:
        credit = Adjustment(project, None, None, Decimal("-3.64"), date(2026, 11, 30), "a credit", "finance")
        adjustments.post(connection, credit, OFFERED, december)
    assert platform.scalar("SELECT posted_month FROM adjustments") == date(2026, 12, 1)


def test_a_closed_month_takes_no_more_than_can_be_counted(engine: Engine, platform: Platform) -> None:
    project, about = used(engine, platform, 5), IN_OCTOBER.date()
    close(engine, [project], OCTOBER)
    correct(engine, project, LARGEST, IN_NOVEMBER, about)
    with pytest.raises(AdjustmentRefused, match=r"more than can be counted, which is 2\^63 - 1"):
        correct(engine, project, LARGEST, IN_NOVEMBER, about)


def test_corrections_beyond_64_bits_break_no_other_project(engine: Engine, platform: Platform) -> None:
    """Earlier versions took them."""
    project, other = used(engine, platform, 5), used(engine, platform, 7)
    close(engine, [project, other], OCTOBER)
    correct(engine, project, LARGEST, IN_NOVEMBER, IN_OCTOBER.date())
    columns = "project_id, kind, meter, quantity, amount, currency, usage_date, posted_month, reason, actor"
    platform.sql(f"INSERT INTO adjustments ({columns}) SELECT {columns} FROM adjustments")
    with engine.connect() as connection:
        views = corrected_bills.views(connection, OCTOBER)
    assert [view["as_corrected"]["mqtt_inbound"] for view in views] == [5 + 2 * LARGEST, 7]
    assert {one.project_id for one in verify(engine).discrepancies} == {project}
    correct(engine, project, -LARGEST, IN_NOVEMBER, IN_OCTOBER.date())


def test_an_open_month_takes_no_more_than_can_be_counted(engine: Engine, platform: Platform) -> None:
    """In the month, and with the months before in the project's lifetime."""
    project = used(engine, platform, 5)
    correct(engine, project, LARGEST, IN_OCTOBER, IN_OCTOBER.date())
    with pytest.raises(AdjustmentRefused, match=r"4,611,686,018,427,387,909 mqtt_inbound in 2026-10"):
        correct(engine, project, LARGEST, IN_OCTOBER, IN_OCTOBER.date())
    close(engine, [project], OCTOBER)
    with pytest.raises(AdjustmentRefused, match="mqtt_inbound in all months"):
        correct(engine, project, LARGEST, IN_NOVEMBER, IN_NOVEMBER.date())
    close(engine, [project], NOVEMBER)
    assert verify(engine).sound
