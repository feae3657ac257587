"""Limits for pages: their month, and the limits of one project."""

from console.data.cache import cached
from console.data.queries.rows import Row
from console.data.transactions import ReadTransaction, read_transaction_as
from console.ui import escape
from metering.catalogue import own_meters
from metering.catalogue.meters import METERS
from metering.catalogue.periods import Month
from metering.config.settings import current_settings
from metering.db.scope import Scope
from metering.months.due import due_months
from metering.pricing import plans
from metering.pricing.month_versions import MonthVersions, in_month
from metering.running import burn_down
from metering.running.burn_down import LimitsQuery


# Whether a month waits to be closed is looked up in every project's bills.
@cached
def behind(scope: Scope) -> bool:
    """Return whether some month before the running one is still open."""
    with read_transaction_as(scope) as page:
        return bool(due_months(page.connection, page.at))


@cached
def titles(scope: Scope) -> dict[str, str]:
    """Return the title of every meter by its name, the platform's own meters last."""
    with read_transaction_as(scope) as page:
        own = own_meters.by_name(page.connection)
    named = {name: meter.label for name, meter in METERS.items()}
    return named | {name: escape.short(meter.title) for name, meter in own.items()}


def read(page: ReadTransaction, late: bool, filters: LimitsQuery) -> list[Row]:
    """Return the limits that match, by the plan of the running month; `late` is the result of `behind`."""
    return list(burn_down.limits(page.connection, versions(page), page.at, late, filters))


def versions(page: ReadTransaction) -> MonthVersions:
    """Return the plan versions that rate the running month. Raises PlanError."""
    return in_month(plans.load(current_settings().plans), Month.of(page.at))
