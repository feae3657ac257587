"""A project's running month as it is rated: its charge so far, and its charge with the rest of the month.

So far is the bill that the close would make of the days known now: one minute before the month ends, they
are the same. A projection adds usage to the days that are left, and the corrections after that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from metering.catalogue.meters import COUNTER_NAMES
from metering.catalogue.periods import Month
from metering.months import proration, rated
from metering.months.days_so_far import DAYS_SO_FAR
from metering.months.totals import totals
from metering.pricing.month_versions import MonthVersions, in_month
from metering.pricing.plans import Plans
from metering.pricing.rating import Bill, Span
from metering.running import projection


@dataclass(frozen=True)
class Charge:
    """What a month costs in all, and `overage`: the part beyond what the plan includes."""

    total: Decimal
    overage: Decimal


@dataclass(frozen=True)
class MonthSoFar:
    """What rates a project's month so far: its totals, the spans of its tiers, the plan versions."""

    totals: Mapping[str, Any]
    spans: Sequence[Span]
    versions: MonthVersions

    def bill(self) -> Bill:
        """Return the bill without corrections in money. Raises PlanError for a tier that is in no plan."""
        return rated.rate(self.totals, self.spans, self.versions)

    def charge(self) -> Charge:
        """Return the charge so far. Raises PlanError."""
        bill = self.bill()
        return Charge(bill.total + rated.adjustment_charge(self.totals, bill), bill.overage_charge)

    def projected(self, elapsed: Decimal, remaining: Decimal) -> Charge | None:
        """Return the charge with the usage and the days that are left, at the last tier and version.

        `elapsed` and `remaining`: metered hours of the month. None where too little is known. Raises
        PlanError.
        """
        if elapsed < projection.LEAST_KNOWN:
            return None
        spans = projection.to_month_end(self.spans, remaining) if self.spans else self.spans
        return MonthSoFar(self._whole(elapsed, remaining), spans, self.versions).charge()

    def _whole(self, elapsed: Decimal, remaining: Decimal) -> dict[str, Any]:
        """Return the totals with the usage that is left; a meter of which the largest counts stays."""
        row = self.totals
        counters = {
            name: row[name] + projection.rest(row[f"counted_{name}"], elapsed, remaining)
            for name in COUNTER_NAMES
        }
        own = {
            name: row["meters"].get(name, 0) + projection.rest(used, elapsed, remaining)
            for name, used in row["counted_meters"].items()
            if name not in row["largest_meters"]
        }
        return {**row, **counters, "meters": row["meters"] | own}


def of_projects(connection: Connection, plans: Plans, at: datetime, ids: Sequence[int]) -> list[MonthSoFar]:
    """Return the month that runs at `at` (aware, UTC) of the projects `ids` that have anything to rate."""
    month = Month.of(at)
    versions = in_month(plans, month)
    rows = totals(connection, month, list(ids), versions.last.currency, DAYS_SO_FAR, at)
    spans: dict[int, list[Span]] = {}
    if versions.last.prorate:
        spans = proration.spans(connection, month, list(ids), versions, DAYS_SO_FAR, at)
    return [MonthSoFar(dict(row), spans.get(row["project_id"], []), versions) for row in rows]
