"""Usage -> lines -> bill. Pure and exact: Decimal, each line rounded half-up to the minor unit.

The charge models and their semantics are those of the field's billing systems; see `Overage`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from metering.meters import COUNTER_NAMES
from metering.plans import Allowance, Overage, PlanVersion

Quantities = Mapping[str, int | Decimal | None]


@dataclass(frozen=True)
class Line:
    """One meter of a bill. `used` None: never sampled, so nothing is charged, and it says so."""

    meter: str
    used: Decimal | None
    included: int
    overage: Decimal
    charge: Decimal

    def as_json(self) -> dict[str, Any]:
        """Plain JSON: quantities without exponents, money as a string."""
        return {
            "meter": self.meter,
            "used": _plain(self.used),
            "included": self.included,
            "overage": _plain(self.overage),
            "charge": str(self.charge),
        }


@dataclass(frozen=True)
class Bill:
    """A rated month: every line of the tier, its fee, and their sum."""

    lines: tuple[Line, ...]
    plan_fee: Decimal

    @property
    def overage_charge(self) -> Decimal:
        return sum((line.charge for line in self.lines), start=self.plan_fee * 0)

    @property
    def total(self) -> Decimal:
        return self.plan_fee + self.overage_charge

    @property
    def exceeded(self) -> list[dict[str, Any]]:
        """The lines beyond their allowance, as monthly_stats.exceeded_limits keeps them."""
        return [line.as_json() for line in self.lines if line.overage > 0]


def rate(
    version: PlanVersion, tier: str, totals: Quantities, peaks: Quantities, averages: Quantities
) -> Bill:
    """Rate a month: counters by their `totals`, gauges by `peaks` or `averages` as the plan says.

    Raises PlanError when the version names no such tier.
    """
    terms = version.tier(tier)
    unit = Decimal(1).scaleb(-version.minor_digits)
    lines = []
    for meter, allowance in terms.meters.items():
        levels = averages if allowance.basis == "average" else peaks
        used = totals[meter] if meter in COUNTER_NAMES else levels.get(meter)
        lines.append(_line(meter, allowance, used, unit))
    return Bill(tuple(lines), _round(terms.fee, unit))


def _line(meter: str, allowance: Allowance, used: int | Decimal | None, unit: Decimal) -> Line:
    if used is None:
        return Line(meter, None, allowance.included, Decimal(0), _round(Decimal(0), unit))
    overage = max(Decimal(used) - allowance.included, Decimal(0))
    charge = charged(allowance.overage, overage) if allowance.overage else Decimal(0)
    return Line(meter, Decimal(used), allowance.included, overage, _round(charge, unit))


def charged(terms: Overage, units: Decimal) -> Decimal:
    """The charge for `units` of overage, not rounded; nothing for none."""
    if units <= 0:
        return Decimal(0)
    if terms.model == "per_unit":
        return units * terms.price
    if terms.model == "package":
        whole, rest = divmod(units, terms.size)
        return (whole + (rest > 0)) * terms.price
    return _graduated(terms, units) if terms.model == "graduated" else _volume(terms, units)


def _graduated(terms: Overage, units: Decimal) -> Decimal:
    total, below = Decimal(0), Decimal(0)
    for step in terms.steps:
        if units <= below:
            break
        upper = units if step.up_to is None else min(units, Decimal(step.up_to))
        total += (upper - below) * step.price + step.fee
        below = upper
    return total


def _volume(terms: Overage, units: Decimal) -> Decimal:
    step = next(step for step in terms.steps if step.up_to is None or units <= step.up_to)
    return units * step.price + step.fee


def _round(amount: Decimal, unit: Decimal) -> Decimal:
    return amount.quantize(unit, ROUND_HALF_UP)


def _plain(quantity: Decimal | None) -> int | str | None:
    if quantity is None:
        return None
    return int(quantity) if quantity == quantity.to_integral_value() else format(quantity.normalize(), "f")
