"""Rating: the field's charge models with their published examples, and the laws of money."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.catalogue.meters import COUNTER_NAMES, GAUGE_NAMES
from metering.pricing import plans
from metering.pricing.charge_models import charge_for
from metering.pricing.plans import PlanVersion
from metering.pricing.price_terms import Overage
from metering.pricing.rating import Bill, Span, rate, rate_spans

NOTHING: dict[str, Any] = dict.fromkeys(COUNTER_NAMES, 0)


def steps(*bounds_and_prices: tuple[int | None, str], fee: str = "0") -> tuple[dict[str, Any], ...]:
    return tuple({"up_to": bound, "price": price, "fee": fee} for bound, price in bounds_and_prices)


STRIPE_FIVE = steps((5, "5"), (10, "4"), (15, "3"), (20, "2"), (None, "1"))
STRIPE_FONTS = steps((5, "7"), (10, "6.5"), (None, "6"))
LAGO_CALLS = steps((10_000, "0.0010"), (50_000, "0.0008"), (100_000, "0.0006"), (None, "0.0004"), fee="10")
LAGO_TIERS = steps((100, "1"), (200, "0.50"), (None, "0.10"))


@pytest.mark.parametrize(
    ("terms", "units", "charge"),
    [
        # Stripe, "Tiered pricing": per unit, volume and graduated.
        ({"model": "per_unit", "price": "5"}, 6, "30"),
        ({"model": "per_unit", "price": "5"}, 25, "125"),
        ({"model": "volume", "steps": STRIPE_FIVE}, 5, "25"),
        ({"model": "volume", "steps": STRIPE_FIVE}, 6, "24"),
        ({"model": "volume", "steps": STRIPE_FIVE}, 20, "40"),
        ({"model": "volume", "steps": STRIPE_FIVE}, 25, "25"),
        ({"model": "graduated", "steps": STRIPE_FIVE}, 6, "29"),
        ({"model": "volume", "steps": STRIPE_FONTS}, 6, "39"),
        ({"model": "volume", "steps": STRIPE_FONTS}, 25, "150"),
        ({"model": "graduated", "steps": STRIPE_FONTS}, 5, "35"),
        ({"model": "graduated", "steps": STRIPE_FONTS}, 6, "41.5"),
        # Lago, "Charge models": package (of which the first 100 units are free), volume with a fee.
        ({"model": "package", "price": "5", "size": 100}, 201 - 100, "10"),
        ({"model": "volume", "steps": LAGO_CALLS}, 65_000, "49"),
        ({"model": "graduated", "steps": LAGO_TIERS}, 250, "155"),
    ],
)
def test_the_published_examples_come_out(terms: dict[str, Any], units: int, charge: str) -> None:
    assert charge_for(Overage.model_validate(terms), Decimal(units)) == Decimal(charge)


DEVICES = {"included": 2, "overage": {"model": "per_unit", "price": "1.00"}}


def version(overage: dict[str, Any] | None, included: int = 100, **more: Any) -> PlanVersion:
    meters = {
        "logs": {"included": included, "overage": overage},
        "device_count": DEVICES | more.pop("devices", {}),
    }
    tier = {"fee": "31.00", "meters": meters}
    return PlanVersion.model_validate(
        {"effective": "2026-01-01", "currency": "EUR", "tiers": {"pro": tier, "free": {}}} | more
    )


def bill(terms: PlanVersion, logs: int = 0, peak: int | None = None, average: Decimal | None = None) -> Bill:
    return rate(terms, "pro", NOTHING | {"logs": logs}, {"device_count": peak}, {"device_count": average})


PER_UNIT = {"model": "per_unit", "price": "0.003"}
PACKAGE = {"model": "package", "price": "0.07", "size": 3}
GRADUATED = {"model": "graduated", "steps": steps((10, "0.50"), (20, "0.20"), (None, "0.01"))}
VOLUME = {"model": "volume", "steps": steps((10, "0.50"), (20, "0.50"), (None, "0.50"))}
PRICES = st.decimals(0, 100, places=4)


@st.composite
def overages(draw: st.DrawFn, models: tuple[str, ...] = ("per_unit", "package", "graduated")) -> Overage:
    model = draw(st.sampled_from(models))
    if model in ("per_unit", "package"):
        size = {"size": draw(st.integers(1, 50))} if model == "package" else {}
        return Overage.model_validate({"model": model, "price": str(draw(PRICES))} | size)
    bounds = sorted(draw(st.sets(st.integers(1, 500), max_size=4)))
    steps = [{"up_to": bound, "price": str(draw(PRICES))} for bound in (*bounds, None)]
    return Overage.model_validate({"model": model, "steps": steps})


@given(overages(), st.integers(0, 1000), st.integers(0, 1000))
def test_more_usage_never_costs_less(terms: Overage, units: int, more: int) -> None:
    assert charge_for(terms, Decimal(units)) <= charge_for(terms, Decimal(units + more))


@given(overages(("graduated",)))
def test_graduated_is_continuous_at_its_bounds(terms: Overage) -> None:
    """Without fees, one unit more costs one unit's price on either side of a bound."""
    for step, following in zip(terms.steps, terms.steps[1:], strict=False):
        assert step.up_to is not None
        bound = Decimal(step.up_to)
        assert charge_for(terms, bound) - charge_for(terms, bound - 1) == step.price
        assert charge_for(terms, bound + 1) - charge_for(terms, bound) == following.price


@given(overages(("volume",)), st.integers(0, 1000), st.integers(0, 1000))
def test_volume_never_costs_less_within_a_step(terms: Overage, one: int, other: int) -> None:
    few, many = sorted((one, other))
    bounds = [step.up_to for step in terms.steps if step.up_to is not None]
    if not any(few <= bound < many for bound in bounds):
        assert charge_for(terms, Decimal(few)) <= charge_for(terms, Decimal(many))


@given(st.sampled_from([PER_UNIT, PACKAGE, GRADUATED, VOLUME]), st.integers(0, 2**63), st.integers(0, 10**6))
def test_the_lines_and_the_fee_are_the_total(overage: dict[str, Any], logs: int, devices: int) -> None:
    rated = bill(version(overage), logs, devices)
    assert sum(line.charge for line in rated.lines) + rated.plan_fee == rated.total
    assert sum(Decimal(line["charge"]) for line in rated.exceeded) == rated.overage_charge
    assert all(line.charge.as_tuple().exponent == -2 for line in rated.lines)


@given(st.sampled_from([PER_UNIT, PACKAGE, GRADUATED, VOLUME]), st.integers(0, 2**63), st.integers(0, 10**6))
def test_rating_again_from_what_is_stored_gives_the_same_bytes(
    overage: dict[str, Any], logs: int, devices: int
) -> None:
    first = version(overage)
    stored = PlanVersion.from_content(json.loads(json.dumps(first.content())))
    assert stored.hash == first.hash
    assert json.dumps(bill(stored, logs, devices).exceeded) == json.dumps(bill(first, logs, devices).exceeded)


def test_what_is_included_costs_nothing() -> None:
    assert bill(version(PER_UNIT), logs=100, peak=2).total == Decimal("31.00")


def test_a_line_is_rounded_half_up() -> None:
    assert bill(version(PER_UNIT), logs=105).lines[0].charge == Decimal("0.02")
    assert bill(version(PER_UNIT), logs=101).lines[0].charge == Decimal("0.00")


def test_a_currency_without_minor_units_has_whole_amounts() -> None:
    rated = bill(version(PER_UNIT, currency="JPY", minor_digits=0), logs=1000)
    assert str(rated.total) == "34"


def test_a_gauge_never_sampled_is_unknown_and_costs_nothing() -> None:
    line = next(line for line in bill(version(PER_UNIT)).lines if line.meter == "device_count")
    assert (line.used, line.charge) == (None, Decimal("0.00"))


def test_a_gauge_is_billed_on_its_basis() -> None:
    average = {"devices": {"basis": "average"}}
    assert bill(version(None), peak=6, average=Decimal("3.5")).overage_charge == Decimal("4.00")
    assert bill(version(None, **average), peak=6, average=Decimal("3.5")).overage_charge == Decimal("1.50")


def test_an_exceeded_line_says_used_included_overage_and_charge() -> None:
    assert bill(version(PER_UNIT), logs=1_100).exceeded == [
        {"meter": "logs", "used": 1_100, "included": 100, "overage": 1_000, "charge": "3.00"}
    ]


def span(tier: str, days: int, logs: int, devices: int) -> Span:
    return Span(tier, NOTHING | {"logs": logs}, {"device_count": devices}, {}, days, 31)


def test_a_tier_changed_in_mid_month_is_rated_by_its_days() -> None:
    rated = rate_spans(version(PER_UNIT), [span("free", 21, 10**6, 50), span("pro", 10, 1_033, 33)])
    assert rated.plan_fee == Decimal("10.00")
    assert rated.exceeded == [
        # 100 included in a month are 33 in 10 days, rounded up; 31 devices too many, 10 of 31 days.
        {
            "meter": "logs",
            "used": 1_033,
            "included": 33,
            "overage": 1_000,
            "charge": "3.00",
            "tier": "pro",
            "days": 10,
            "of_days": 31,
        },
        {
            "meter": "device_count",
            "used": 33,
            "included": 2,
            "overage": 31,
            "charge": "10.00",
            "tier": "pro",
            "days": 10,
            "of_days": 31,
        },
    ]


def test_every_meter_of_the_shipped_plans_rates() -> None:
    shipped = plans.load(None).versions[0]
    used = dict.fromkeys(COUNTER_NAMES, 10**15)
    for tier in shipped.tiers:
        rated = rate(shipped, tier, used, dict.fromkeys(GAUGE_NAMES, 10**15), {})
        assert rated.total >= shipped.tier(tier).fee
