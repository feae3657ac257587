"""Rate a month's totals: the one calculation of the close, of the running month, and of the proofs."""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from metering.months import proration
from metering.pricing import rating
from metering.pricing.month_versions import MonthVersions
from metering.pricing.rating import Bill, Span


def rate(row: Mapping[str, Any], spans: Sequence[Span], versions: MonthVersions) -> Bill:
    """Return the bill of the totals `row`, by the tiers of its `spans` where the plan prorates.

    Raises PlanError for a tier that is in no plan.
    """
    if not row["days_present"]:
        return rating.empty_bill(versions.last)
    if versions.last.prorate and spans:
        return rating.rate_spans(versions.last, proration.with_adjustments(spans, row))
    return rating.rate_spans(versions.last, [proration.span_of(row, row["tier"])])


def adjustment_charge(row: Mapping[str, Any], bill: Bill) -> Decimal:
    """Return the corrections of the month in money, rounded to the bill's minor unit."""
    amount: Decimal = row["adjustment_charge"]
    return amount.quantize(bill.plan_fee, ROUND_HALF_UP)
