"""An adjustment: one correction of usage or money, and what makes it one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from metering.catalogue.meters import COUNTER_NAMES
from metering.catalogue.own_meters import OwnMeter
from metering.catalogue.periods import Day, Month
from metering.errors import AdjustmentRefused

LARGEST = 2**62  # so that a few of them still add up in a bigint


@dataclass(frozen=True)
class Adjustment:
    """One correction: a `quantity` of a `meter`, or an `amount` of money; the other one is None.

    `usage_date` is the day that it is about. `currency`, if given, must be that of the month it is about.
    """

    project_id: int
    meter: str | None
    quantity: int | None
    amount: Decimal | None
    usage_date: date
    reason: str
    actor: str
    reverses: int | None = None
    kind: str = "correction"
    currency: str | None = None

    @property
    def about(self) -> Month:
        """Return the month that it is about."""
        return Month.of(Day(self.usage_date).start)


def refuse_unclear(adjustment: Adjustment, at: datetime) -> None:
    """Refuse what is no correction of a quantity or an amount. Raises AdjustmentRefused."""
    quantity, amount = adjustment.quantity, adjustment.amount
    if not adjustment.reason.strip() or not adjustment.actor.strip():
        raise AdjustmentRefused("an adjustment needs a reason and an actor; say why and who")
    if adjustment.usage_date > Day.of(at).date:
        raise AdjustmentRefused(f"{adjustment.usage_date} is in the future; adjust what was used")
    by_quantity = adjustment.meter is not None and quantity is not None and amount is None
    by_amount = adjustment.meter is None and quantity is None and amount is not None
    if not by_quantity and not by_amount:
        raise AdjustmentRefused("an adjustment takes a meter with a quantity, or an amount, not both")
    if not (quantity or amount):
        raise AdjustmentRefused("an adjustment of nothing changes nothing; give a quantity or an amount")
    if abs(quantity or 0) > LARGEST:
        raise AdjustmentRefused(f"a quantity of {quantity:,} is more than can be counted; the most is 2^62")
    if amount is not None and (not amount.is_finite() or abs(amount) > 10**15):
        raise AdjustmentRefused(f"{amount} is no amount of money; write it like -12.50")


def refuse_meter(adjustment: Adjustment, own: Mapping[str, OwnMeter]) -> None:
    """Refuse a meter that no quantity corrects. Raises AdjustmentRefused."""
    meter = adjustment.meter
    if meter is None or meter in COUNTER_NAMES:
        return
    if meter not in own:
        raise AdjustmentRefused(
            f"{meter!r} is no counter; the counters are {', '.join((*COUNTER_NAMES, *own))}; "
            "correct a gauge's charge by an amount"
        )
    if own[meter].aggregation == "max" and (adjustment.quantity or 0) < 0 and adjustment.reverses is None:
        raise AdjustmentRefused(
            f"of {meter} the largest quantity counts: a correction says that it was at least so large, and "
            "cannot be negative; take off a charge by an amount"
        )
