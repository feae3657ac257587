"""Usage -> lines -> bill. Pure and exact: Decimal, each line rounded half-up to the minor unit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

from metering.catalogue.meters import COUNTER_NAMES, METERS
from metering.pricing.charge_models import DIGITS, ZERO, charge_for
from metering.pricing.plans import PlanVersion
from metering.pricing.price_terms import Allowance

PLACES = {name: place for place, name in enumerate(METERS)}
Quantities = Mapping[str, int | Decimal | None]


@dataclass(frozen=True)
class Span:
    """Usage under one tier: `days` of the month's `of` days. Counters by totals, gauges by levels.

    `version` rates these days where it is not the version of the whole month. `largest` names the
    platform's own meters of which the largest quantity counts: they are billed like a level.
    """

    tier: str
    totals: Quantities
    peaks: Quantities
    averages: Quantities
    days: int = 1
    of: int = 1
    version: PlanVersion | None = None
    largest: frozenset[str] = frozenset()

    def is_counted(self, meter: str) -> bool:
        """Return whether `meter` adds up over days; other meters are levels, or the largest of the days."""
        return meter in COUNTER_NAMES or (meter not in METERS and meter not in self.largest)

    def used(self, meter: str, basis: str) -> Decimal | None:
        """Return the usage of `meter`; None if it was never sampled. Own meters without usage are 0."""
        levels = self.averages if basis == "average" else self.peaks
        quantity = self.totals.get(meter) if self.is_counted(meter) else levels.get(meter)
        if quantity is None:
            return None if meter in METERS else ZERO
        return Decimal(quantity)


@dataclass(frozen=True)
class Line:
    """One meter of a bill. `used` None: never sampled, so nothing is charged, and it says so.

    `days` of `of` differ when the tier was in force for a part of the month only; `included` is
    then in proportion, and so is the charge of a level, whose price is a month's (not `is_counted`).
    """

    meter: str
    used: Decimal | None
    included: int
    overage: Decimal
    charge: Decimal
    tier: str
    allowance: Allowance
    days: int
    of: int
    version: PlanVersion | None = None
    is_counted: bool = True

    @property
    def is_largest(self) -> bool:
        """Return whether it is an own meter of which the largest quantity counts."""
        return not self.is_counted and self.meter not in METERS

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON: quantities without exponents, money as a string."""
        line = {
            "meter": self.meter,
            "used": plain(self.used),
            "included": self.included,
            "overage": plain(self.overage),
            "charge": str(self.charge),
        }
        if self.days != self.of:
            line |= {"tier": self.tier, "days": self.days, "of_days": self.of}
        if self.version is not None:
            line["plan_version"] = self.version.hash
        return line


@dataclass(frozen=True)
class Bill:
    """A rated month: every line of its tiers, the fee, and their sum."""

    lines: tuple[Line, ...]
    plan_fee: Decimal

    @property
    def overage_charge(self) -> Decimal:
        """Return the sum of the lines' charges."""
        return sum((line.charge for line in self.lines), start=self.plan_fee * 0)

    @property
    def total(self) -> Decimal:
        """Return fee and overage together."""
        return self.plan_fee + self.overage_charge

    @property
    def exceeded(self) -> list[dict[str, Any]]:
        """Return the lines beyond their allowance, as monthly_stats.exceeded_limits keeps them."""
        return [line.as_json() for line in self.lines if line.overage > 0]


def rate(
    version: PlanVersion, tier: str, totals: Quantities, peaks: Quantities, averages: Quantities
) -> Bill:
    """Rate a whole month by one tier: counters by `totals`, gauges by `peaks` or `averages`.

    `averages` are those of the days on which the gauge was known; None: never sampled. Raises
    PlanError when the version names no such tier.
    """
    return rate_spans(version, [Span(tier, totals, peaks, averages)])


def rate_spans(version: PlanVersion, spans: Sequence[Span]) -> Bill:
    """Rate a month by the tiers and versions of its days, each in proportion. Raises PlanError.

    `version` rates the spans that have no version of their own.
    """
    unit = Decimal(1).scaleb(-version.minor_digits)
    with localcontext(prec=DIGITS):
        fees = [(span.version or version).tier(span.tier).fee * span.days / span.of for span in spans]
        lines = [line for span in spans for line in _lines(span.version or version, span, unit)]
        return Bill(tuple(lines), sum((_round(fee, unit) for fee in fees), start=_round(ZERO, unit)))


def empty_bill(version: PlanVersion) -> Bill:
    """Return the bill of a project that was not metered in the month: no line, no fee."""
    return Bill((), _round(ZERO, Decimal(1).scaleb(-version.minor_digits)))


def _lines(version: PlanVersion, span: Span, unit: Decimal) -> Iterable[Line]:
    # In the catalogue's order, not the file's: plan_versions, which rates again, keeps no order of keys.
    for meter, allowance in sorted(version.tier(span.tier).meters.items(), key=_place):
        yield _line(meter, allowance, span.used(meter, allowance.basis), span, unit)


def _place(item: tuple[str, Allowance]) -> tuple[int, str]:
    """Return the place of a meter's line: the platform's own are last, by name."""
    return PLACES.get(item[0], len(PLACES)), item[0]


def included(allowance: Allowance, meter: str, span: Span) -> int:
    """Return the allowance of `meter` in a span: for a counter in proportion to its days, rounded up.

    A gauge is a level, the same on one day as over a month: its allowance is not in proportion.
    """
    whole = allowance.included
    return -(-whole * span.days // span.of) if span.is_counted(meter) else whole


def _line(meter: str, allowance: Allowance, used: Decimal | None, span: Span, unit: Decimal) -> Line:
    # The price of a gauge is in proportion, its allowance is not; of a counter it is the other way round.
    is_counted, within = span.is_counted(meter), included(allowance, meter, span)
    overage = max((used or ZERO) - within, ZERO)
    charge = charge_for(allowance.overage, overage) if allowance.overage else ZERO
    share = charge if is_counted else charge * span.days / span.of
    part = (span.days, span.of, span.version, is_counted)
    return Line(meter, used, within, overage, _round(share, unit), span.tier, allowance, *part)


def _round(amount: Decimal, unit: Decimal) -> Decimal:
    return amount.quantize(unit, ROUND_HALF_UP)


def plain(quantity: Decimal | None) -> int | str | None:
    """Return a quantity for JSON: an integer where it is one, else a string of plain decimals."""
    if quantity is None:
        return None
    whole = quantity.to_integral_value()
    return int(whole) if quantity == whole else format(quantity.normalize(), "f")
