"""Rate a billed month again with corrections of its usage: the worth of a correction about it.

The worth of a correction is the month's charge with it minus the charge without it, both on top of the
corrections posted before. So the amounts posted always equal the month rated again minus the bill.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue.meters import COUNTER_NAMES
from metering.catalogue.month_sql import month_of_day
from metering.catalogue.own_meters import LARGEST_NAMES, quantities
from metering.catalogue.periods import Month
from metering.db.transactions import chunks
from metering.errors import AdjustmentRefused
from metering.months import proration, rated, stored_versions
from metering.months.own_quantities import total
from metering.pricing import month_versions
from metering.pricing.month_versions import MonthVersions
from metering.pricing.rating import Span

# Corrections of a closed month keep their quantity beside their amount. A quantity without an amount is
# billed with the month that it was posted to, and so is no correction of another one.
VALUED = "quantity IS NOT NULL AND amount IS NOT NULL"

BILLS = text(f"""
    SELECT m.*, days.*, {LARGEST_NAMES} AS largest_meters FROM monthly_stats m
    CROSS JOIN LATERAL (SELECT count(*) AS days_sealed, {proration.AVERAGES} FROM daily_stats d
        WHERE d.project_id = m.project_id AND d.date BETWEEN :first AND :last) days
    WHERE m.project_id = ANY(:ids) AND (m.year, m.month) = (:year, :month)""")
CORRECTIONS = text(f"""
    SELECT project_id, meter, CASE WHEN meter = ANY ({LARGEST_NAMES}) THEN max(quantity)
        ELSE sum(quantity) END AS quantity FROM adjustments
    WHERE project_id = ANY(:ids) AND usage_date BETWEEN :first AND :last AND {VALUED}
    GROUP BY project_id, meter""")


@dataclass
class BilledMonth:
    """A bill of a month with the plan versions that rated it, and the corrections posted about it.

    `spans` are the days of each tier where the plan prorates; `corrections` the quantity by meter.
    """

    month: Month
    bill: Mapping[str, Any]
    versions: MonthVersions
    spans: Sequence[Span]
    corrections: dict[str, int]

    @property
    def currency(self) -> str:
        """Return the currency in which the month was billed."""
        return str(self.bill["currency"])

    @property
    def largest(self) -> frozenset[str]:
        """Return the names of the meters of which the largest quantity counts."""
        return frozenset(self.bill["largest_meters"])

    def used(self, meter: str) -> int:
        """Return the usage of a counter, or of a meter of the platform's own, as corrected."""
        return self._with(meter, self.corrections.get(meter, 0))

    def _with(self, meter: str, quantity: int) -> int:
        own = quantities(self.bill["meters"])
        billed = self.bill[meter] if meter in COUNTER_NAMES else own.get(meter, 0)
        return total(meter, self.largest, int(billed), quantity)

    def add(self, meter: str, quantity: int) -> Decimal:
        """Add a correction; returns its worth. Raises AdjustmentRefused if it cannot be valued."""
        if self.versions.last.prorate and not self.bill["days_sealed"] and self.bill["days_present"]:
            raise AdjustmentRefused(
                f"the days of {self.month} are removed, and it cannot be rated again without them; restore "
                "it from its archive, or post an amount"
            )
        before = self.charge(self.corrections)
        earlier = self.corrections.get(meter, 0)
        self.corrections[meter] = total(meter, self.largest, earlier, quantity)
        return self.charge(self.corrections) - before

    def charge(self, corrections: Mapping[str, int]) -> Decimal:
        """Return fee and overage of the month with those corrections, rounded as a bill is."""
        totals: dict[str, Any] = {name: self._with(name, corrections.get(name, 0)) for name in COUNTER_NAMES}
        own = {*quantities(self.bill["meters"]), *corrections} - {*COUNTER_NAMES}
        totals["meters"] = {name: self._with(name, corrections.get(name, 0)) for name in own}
        return rated.rate({**self.bill, **totals}, self.spans, self.versions).total


def load(connection: Connection, month: Month, project_ids: Sequence[int]) -> dict[int, BilledMonth]:
    """Return the bills of `month` by project, of those projects that have one."""
    bounds = {"ids": list(project_ids), "first": month.first.date, "last": month.last.date}
    bounds |= {"year": month.year, "month": month.month}
    corrections: dict[int, dict[str, int]] = {}
    for project, meter, quantity in connection.execute(CORRECTIONS, bounds):
        corrections.setdefault(project, {})[meter] = int(quantity)
    bills = [dict(row) for row in connection.execute(BILLS, bounds).mappings()]
    stored = stored_versions.load(connection, bills)
    versions = {bill["project_id"]: month_versions.of_bill(bill, stored) for bill in bills}
    spans = _spans(connection, month, versions)
    return {
        (project := bill["project_id"]): BilledMonth(
            month,
            bill,
            versions[project],
            spans.get(project, []),
            corrections.get(project, {}),
        )
        for bill in bills
    }


def _spans(
    connection: Connection, month: Month, versions: Mapping[int, MonthVersions]
) -> dict[int, list[Span]]:
    """Return the spans of the projects whose plan prorates: project id -> spans."""
    prorated = {project: of_month for project, of_month in versions.items() if of_month.last.prorate}
    spans: dict[int, list[Span]] = {}
    for key in {of_month.key for of_month in prorated.values()}:
        ids = [project for project, of_month in prorated.items() if of_month.key == key]
        spans |= proration.spans(connection, month, ids, prorated[ids[0]])
    return spans


CORRECTED = f"""
    SELECT extract(year FROM usage_date)::int AS year, extract(month FROM usage_date)::int AS month,
        project_id, sum(amount) AS amount FROM adjustments WHERE {{valued}}
    GROUP BY 1, 2, 3 HAVING {month_of_day("min(usage_date)")} >= {{kept_from}} OR EXISTS (
        SELECT FROM daily_stats d WHERE d.project_id = adjustments.project_id
        AND {month_of_day("d.date")} = {month_of_day("min(usage_date)")})
    ORDER BY 1, 2, 3"""


def differences(connection: Connection, kept_from: str) -> Iterator[tuple[int, str, str, str, str]]:
    """Yield the months whose corrections differ from rating the month again.

    As project, period, what, expected, found. `kept_from`: SQL of the date from which days are kept.
    """
    by_month: dict[Month, dict[int, Decimal]] = {}
    for year, number, project, amount in connection.execute(
        text(CORRECTED.format(valued=VALUED, kept_from=kept_from))
    ):
        by_month.setdefault(Month(year, number), {})[project] = amount
    for month, amounts in by_month.items():
        for chunk in chunks(sorted(amounts)):
            billed = load(connection, month, chunk)
            for project in chunk:
                yield from _difference(project, month, amounts[project], billed.get(project))


def _difference(
    project: int, month: Month, posted_amount: Decimal, billed: BilledMonth | None
) -> Iterator[tuple[int, str, str, str, str]]:
    if billed is None:
        yield project, str(month), "corrections", "a closed month", "no bill"
        return
    amount = billed.charge(billed.corrections) - billed.charge({})
    if amount != posted_amount:
        yield project, str(month), "corrections", str(amount), str(posted_amount)
