"""Limits over HTTP where the plan prorates: those of the part of the month, as the bill will have them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from metering.catalogue.periods import Month
from metering.config.settings import Settings
from metering.running import checks
from tests.support import api_server
from tests.support.platform import Platform

PLANS = """
[[versions]]
effective = 2025-01-01
currency = "EUR"
prorate = true
[versions.tiers.pro.meters.mqtt_inbound]
included = 31000
"""


def test_a_check_and_the_list_are_in_proportion(
    configured: Settings, engine: Engine, platform: Platform, tmp_path: Path
) -> None:
    file = tmp_path / "prorated.toml"
    file.write_text(PLANS)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    project = platform.project(platform.organization("pro"), created_at=today)
    month = Month.of(today)
    days, of = (month.end - today) // timedelta(days=1), month.last.date.day
    with (
        api_server.served(configured.model_copy(update={"plans": file})) as url,
        api_server.client(url, api_server.new_token(engine, "viewer", None)) as client,
    ):
        query = {"check": "mqtt_inbound", "project": project}
        one = client.get("/limits/check", params=query).raise_for_status().json()
        items = client.get(f"/projects/{project}/limits").raise_for_status().json()["items"]
    (listed,) = [item for item in items if item["meter"] == checks.OF_PROJECT["mqtt_inbound"]]
    assert one["included"] == listed["included"] == -(-31_000 * days // of)
    assert ("in proportion" in one["why"]) == (days < of)
