"""An explained bill as the lines of an invoice, in the words that the console and `explain` share."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from metering.catalogue.meters import METERS
from metering.catalogue.own_meters import find
from metering.months.explain import ExplainedLine, Explanation
from metering.pricing import price_words
from metering.pricing.rating import Line


@dataclass(frozen=True)
class InvoiceLine:
    """A meter of a bill: what was used, included and beyond, the price terms, and the amount.

    `quantity` None: never sampled. The amount is in the bill's currency.
    """

    meter: str
    title: str
    unit: str
    tier: str
    quantity: Decimal | None
    included: int
    beyond: Decimal
    terms: str
    amount: Decimal
    explained: ExplainedLine


def lines(explanation: Explanation) -> Sequence[InvoiceLine]:
    """Return the lines of a bill in the catalogue's order; their amounts sum to its overage."""
    return [_line(explained, explanation) for explained in explanation.lines]


def _line(explained: ExplainedLine, explanation: Explanation) -> InvoiceLine:
    line = explained.line
    return InvoiceLine(
        line.meter,
        title(line.meter, explanation),
        unit(line.meter, explanation),
        tier_terms(line),
        line.used,
        line.included,
        line.overage,
        price_words.of_allowance(line.allowance),
        line.charge,
        explained,
    )


def title(meter: str, explanation: Explanation) -> str:
    """Return a meter's title, also of a meter of the platform's own."""
    return METERS[meter].label if meter in METERS else find(meter, explanation.own_meters).title


def unit(meter: str, explanation: Explanation) -> str:
    """Return a meter's unit: `count`, `bytes`, or the one that the platform declared."""
    return METERS[meter].unit if meter in METERS else find(meter, explanation.own_meters).unit


def tier_terms(line: Line) -> str:
    """Return the tier of a line, and its part of the month where it is not the whole one."""
    part = f", {line.days} of {line.of} days" if line.days != line.of else ""
    version = f", plan of {line.version.effective}" if line.version is not None else ""
    return f"{tier(line.tier)}{part}{version}"


def tier(name: str) -> str:
    """Return a tier in words, such as `Starter tier`."""
    return f"{name[:1].upper()}{name[1:]} tier"
