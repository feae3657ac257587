"""Describe price terms in words, for an invoice and the Limits page."""

from itertools import pairwise

from metering.pricing.price_terms import Allowance, Overage, Step


def of_allowance(allowance: Allowance) -> str:
    """Return the price of overage beyond an allowance, in words."""
    return "not charged" if allowance.overage is None else of_overage(allowance.overage)


def of_overage(terms: Overage) -> str:
    """Return the terms of overage in words; prices are in the plan's currency."""
    if terms.model == "per_unit":
        return f"{terms.price:f} each"
    if terms.model == "package":
        return f"{terms.price:f} for each started {terms.size:,}"
    bounds = [0, *(step.up_to or 0 for step in terms.steps)]
    steps = [_step(step, below) for step, (below, _) in zip(terms.steps, pairwise(bounds), strict=True)]
    whole = "all at the step of the total: " if terms.model == "volume" else ""
    return whole + "; ".join(steps)


def _step(step: Step, below: int) -> str:
    fee = f" + {step.fee:f} once" if step.fee else ""
    upper = f"{below + 1:,} to {step.up_to:,}" if step.up_to else f"from {below + 1:,}"
    return f"{upper}: {step.price:f} each{fee}"
