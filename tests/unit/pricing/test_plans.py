"""Plans: versions by date, and errors that say where in the file the mistake is."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from metering.errors import PlanError
from metering.pricing import plans
from metering.pricing.plans import PlanVersion

TEMPLATE = """
[[versions]]
effective = {effective}
currency = "EUR"
[versions.tiers.free]
fee = {fee}
[versions.tiers.free.meters.{meter}]
included = {included}
{more}
"""


def written(tmp_path: Path, **changes: str) -> Path:
    values = {"effective": "2026-01-01", "fee": '"1.50"', "meter": "logs", "included": "5", "more": ""}
    path = tmp_path / "plans.toml"
    path.write_text(TEMPLATE.format(**(values | changes)))
    return path


def test_the_shipped_plans_have_the_four_tiers() -> None:
    version = plans.load(None).in_force(date(2026, 11, 24))
    assert list(version.tiers) == ["free", "starter", "pro", "enterprise"]


def test_the_version_in_force_is_the_latest_that_has_begun(tmp_path: Path) -> None:
    path = tmp_path / "plans.toml"
    versions = ("2026-03-01", "2026-01-01")
    path.write_text(
        "".join(
            TEMPLATE.format(effective=day, fee='"1"', meter="logs", included="5", more="") for day in versions
        )
    )
    offered = plans.load(path)
    in_force = {
        day: str(offered.in_force(day).effective)
        for day in (date(2025, 1, 1), date(2026, 1, 1), date(2026, 2, 28), date(2026, 3, 1), date(2027, 1, 1))
    }
    assert list(in_force.values()) == ["2026-01-01", "2026-01-01", "2026-01-01", "2026-03-01", "2026-03-01"]


def test_a_stored_version_is_the_same_version(tmp_path: Path) -> None:
    version = plans.load(None).versions[0]
    stored = json.loads(json.dumps(version.content()))
    assert PlanVersion.from_content(stored) == version
    assert PlanVersion.from_content(stored).hash == version.hash


def test_any_change_of_a_price_changes_the_hash(tmp_path: Path) -> None:
    one = plans.load(written(tmp_path)).versions[0].hash
    other = plans.load(written(tmp_path, fee='"1.51"')).versions[0].hash
    assert one != other


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"fee": "true"},
            'version 2026-01-01, tier free, fee: write money as a string, like "0.25", not True',
        ),
        ({"fee": "nan"}, "tier free, fee"),
        ({"fee": '"-1"'}, "tier free, fee: Input should be greater than or equal to 0"),
        ({"fee": '"NaN"'}, "tier free, fee"),
        ({"fee": '"1E+999"'}, "tier free, fee"),
        ({"included": "1.5"}, "tier free, meter logs, included"),
        ({"included": '"5"'}, "tier free, meter logs, included"),
        ({"meter": "lgos"}, "tier free: there is no meter lgos; the meters are logs, sessions"),
        ({"more": "maximum = 3"}, "meter logs, maximum: there is no such key"),
        ({"more": 'limit = "firm"'}, "meter logs, limit"),
        ({"more": 'basis = "average"'}, "logs is counted, not a level"),
        ({"more": 'overage = { model = "per_unit", price = -0.1 }'}, "meter logs, overage.price: Input"),
        ({"more": 'overage = { model = "per_unit" }'}, "per_unit takes a price"),
        ({"more": 'overage = { model = "package", price = "1" }'}, "package takes a size"),
        ({"more": 'overage = { model = "volume", price = "1" }'}, "volume takes steps"),
        (
            {"more": 'overage = { model = "graduated", steps = [{ up_to = 5, price = "1" }] }'},
            "every step needs an up_to but the last one, which has none",
        ),
        (
            {
                "more": 'overage = { model = "volume", steps = [{ up_to = 9, price = "1" },'
                ' { up_to = 5, price = "1" }, { price = "1" }] }'
            },
            "overage: steps must rise: up_to 5 follows up_to 9",
        ),
        ({"effective": "2026-13-01"}, "no TOML"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, changes: dict[str, str], says: str) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(PlanError) as caught:
        plans.load(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert "at least 1 item" not in str(caught.value), "what holds the mistake is not empty"
    assert "\n" not in str(caught.value) or "TOML" in str(caught.value)


def test_every_mistake_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, fee="-1", included="-1", more='limit = "firm"')
    with pytest.raises(PlanError, match=r"free, fee: .*; .*logs, included: .*; .*logs, limit: "):
        plans.load(path)


def test_a_price_written_as_a_number_is_exact(tmp_path: Path) -> None:
    more = 'overage = { model = "per_unit", price = 0.1 }'
    version = plans.load(written(tmp_path, fee="0.30", more=more)).versions[0]
    assert version.tier("free").fee == Decimal("0.30")
    assert version.content()["tiers"]["free"]["meters"]["logs"]["overage"]["price"] == "0.1"


@pytest.mark.parametrize(("currency", "digits"), [("JPY", 0), ("KWD", 3), ("EUR", 2), ("CLF", 4)])
def test_amounts_have_the_decimals_of_their_currency(currency: str, digits: int) -> None:
    content = {"effective": "2026-01-01", "currency": currency, "tiers": {"free": {}}}
    assert PlanVersion.model_validate(content).minor_digits == digits
    assert PlanVersion.model_validate(content | {"minor_digits": 5}).minor_digits == 5


def test_two_versions_of_one_day_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text() * 2)
    with pytest.raises(PlanError, match="two versions have the same effective date"):
        plans.load(path)


def test_a_missing_file_is_named_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="FLEETMETER_PLANS"):
        plans.load(tmp_path / "nowhere.toml")


def test_an_unknown_tier_is_named_with_the_known_ones() -> None:
    version = plans.load(None).versions[0]
    with pytest.raises(PlanError, match="no tier 'platinum', only enterprise, free, pro, starter"):
        version.tier("platinum")
    assert version.tier("starter").fee == Decimal("29.00")
