"""The simulated customers' stories: one changed its tier, one was corrected, one project moved.

Each story is told on its day of the history, through the platform's tables and a reading of them, or
through the function that a person's command calls.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, text

from fleetmeter.demo import world
from metering.catalogue import history as readings
from metering.catalogue.periods import Day, Month
from metering.months import adjustments
from metering.months.adjustment import Adjustment
from metering.pricing.plans import Plans

REFUND = Decimal("-12.00")
REASON = "a test rig published under this project for two days; agreed with the customer"


def tier_changed_at(first_start: datetime) -> datetime:
    """Return when one organization changed to its present tier: in the middle of the last month."""
    return Month.of(first_start).previous().start + timedelta(days=14, hours=9)


def moved_at(first_start: datetime) -> datetime:
    """Return when one project moved to its present organization."""
    return Day.of(first_start - timedelta(days=20)).start + timedelta(hours=9)


def corrected_at(first_start: datetime) -> datetime:
    """Return when the bill of the month before was corrected for one project."""
    return Day.of(first_start - timedelta(days=6)).start + timedelta(hours=9)


def tell(connection: Connection, day: Day, first_start: datetime, plans: Plans) -> None:
    """Insert the events of `day`; `first_start`: when the demo first started."""
    if Day.of(tier_changed_at(first_start)) == day:
        _change_tier(connection, tier_changed_at(first_start))
    if Day.of(moved_at(first_start)) == day:
        _move(connection, moved_at(first_start))
    if Day.of(corrected_at(first_start)) == day:
        _correct(connection, plans, corrected_at(first_start))


def _change_tier(connection: Connection, at: datetime) -> None:
    tier = {identity: tier for identity, _, tier in world.ORGANIZATIONS}[world.UPGRADED]
    connection.execute(
        text("UPDATE organizations SET tier = :tier WHERE id = :id"), {"tier": tier, "id": world.UPGRADED}
    )
    readings.read(connection, at)


def _move(connection: Connection, at: datetime) -> None:
    owner = world.OWNERS[world.MOVED - 1]
    connection.execute(
        text("UPDATE projects SET organization_id = :owner WHERE id = :id"),
        {"owner": owner, "id": world.MOVED},
    )
    readings.read(connection, at)


def _correct(connection: Connection, plans: Plans, at: datetime) -> None:
    about = Month.of(at).previous()
    billed = text("SELECT 1 FROM monthly_stats WHERE project_id = :id AND year = :year AND month = :month")
    parameters = {"id": world.CORRECTED, "year": about.year, "month": about.month}
    if connection.scalar(billed, parameters) is None:  # a history that is shorter than usual
        return
    refund = Adjustment(world.CORRECTED, None, None, REFUND, about.last.date, REASON, "demo")
    adjustments.post(connection, refund, plans, at)
