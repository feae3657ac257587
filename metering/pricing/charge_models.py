"""The charge models: the charge for overage, part by part. Pure and exact.

The semantics are those of the field's billing systems (docs/plans.md works one example of each).
A charge is the sum of its parts, so that an explanation cannot differ from a bill.
"""

from dataclasses import dataclass
from decimal import Decimal, localcontext

from metering.pricing.price_terms import Overage

ZERO = Decimal(0)
DIGITS = 80  # a product of 2^63 units and a price of 12 decimals stays exact


@dataclass(frozen=True)
class Part:
    """`quantity` of `unit` at `price`, plus `fee`."""

    quantity: Decimal
    unit: str
    price: Decimal
    fee: Decimal = ZERO

    @property
    def charge(self) -> Decimal:
        """Return the charge, not rounded."""
        with localcontext(prec=DIGITS):
            return self.quantity * self.price + self.fee


def charge_for(terms: Overage, units: Decimal) -> Decimal:
    """Return the charge for `units` of overage, not rounded; 0 for 0 units."""
    with localcontext(prec=DIGITS):
        return sum((part.charge for part in parts(terms, units)), start=ZERO)


def parts(terms: Overage, units: Decimal) -> list[Part]:
    """Return the parts of the charge for `units` of overage; empty for 0 units."""
    if units <= 0:
        return []
    if terms.model == "graduated":
        return _graduated(terms, units)
    if terms.model == "volume":
        return [_volume(terms, units)]
    price = terms.price or ZERO
    if terms.model == "per_unit":
        return [Part(units, "units", price)]
    size = terms.size or 1
    whole, rest = divmod(units, size)
    return [Part(whole + (rest > 0), f"packages of {size:,}", price)]


def _graduated(terms: Overage, units: Decimal) -> list[Part]:
    charged_parts, below = [], ZERO
    for step in terms.steps:
        if units <= below:
            break
        upper = units if step.up_to is None else min(units, Decimal(step.up_to))
        charged_parts.append(Part(upper - below, "units", step.price, step.fee))
        below = upper
    return charged_parts


def _volume(terms: Overage, units: Decimal) -> Part:
    step = next(step for step in terms.steps if step.up_to is None or units <= step.up_to)
    return Part(units, "units", step.price, step.fee)
