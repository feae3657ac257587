"""The file of the platform's own meters: what it takes, and the sentence for what it does not."""

from pathlib import Path

import pytest

from metering.catalogue import own_meters
from metering.catalogue.own_meters import OwnMeter
from metering.errors import PlanError, SettingsError
from metering.pricing import plans

SHIPPED = Path(__file__).parents[3] / "deploy" / "meters.toml"
WHOLE = 'unit = "s"\naggregation = "sum"\n'


def test_the_shipped_file_declares_two_meters() -> None:
    meters = own_meters.load(SHIPPED)
    assert {meter.name: meter.aggregation for meter in meters.values()} == {
        "query_seconds": "sum",
        "robots_online": "max",
    }
    assert own_meters.load(None) == {}


def test_a_title_left_out_is_the_name(tmp_path: Path) -> None:
    (tmp_path / "meters.toml").write_text(f"[meters.jobs]\n{WHOLE}")
    assert own_meters.load(tmp_path / "meters.toml") == {"jobs": OwnMeter("jobs", "s", "sum", "jobs", "")}


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("[meters.api_calls]\n" + WHOLE, "meter 'api_calls': Fleetmeter uses this name itself"),
        ("[meters.peak_x]\n" + WHOLE, "Fleetmeter uses this name itself"),
        ("[meters.Query]\n" + WHOLE, "meter 'Query': a name is a lower-case letter"),
        ("[meters.'a\\b']\n" + WHOLE, "a name is a lower-case letter"),
        ("[meters.x]\nunit = 's'\naggregation = 'avg'", 'aggregation must be "sum" or "max"'),
        ("[meters.x]\naggregation = 'sum'", "meter 'x': unit is missing"),
        ("[meters.x]\nunit = ''\naggregation = 'sum'", "unit must be a text of 1 to 32 printable characters"),
        ("[meters.x]\nprice = 1\n" + WHOLE, "there is no key 'price'; the keys are unit, aggregation"),
        ("[meter.x]\n" + WHOLE, "there is no key 'meter'; a meter begins with"),
        ("meters = 3", "meters must be tables"),
        ("[meters.x]\n[meters.x]", "is no TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_meter_and_remedy(tmp_path: Path, written: str, says: str) -> None:
    file = tmp_path / "meters.toml"
    file.write_text(written)
    with pytest.raises(SettingsError, match="FLEETMETER_METERS: ") as refused:
        own_meters.load(file)
    assert says in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"FLEETMETER_METERS: .*none.toml cannot be read"):
        own_meters.load(tmp_path / "none.toml")


def test_plans_price_declared_meters_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "plans.toml"
    file.write_text(
        '[[versions]]\neffective = 2025-01-01\ncurrency = "USD"\n'
        "[versions.tiers.pro.meters.query_seconds]\nincluded = 5\n"
    )
    monkeypatch.setenv("FLEETMETER_METERS", str(SHIPPED))
    assert "query_seconds" in plans.load(file).versions[0].tiers["pro"].meters
    monkeypatch.delenv("FLEETMETER_METERS")
    with pytest.raises(PlanError, match="there is no meter query_seconds"):
        plans.load(file)
