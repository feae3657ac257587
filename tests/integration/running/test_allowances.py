"""Usage of the running month against the tier, for a fleet of any size."""

from datetime import UTC, date, datetime

import pytest
from sqlalchemy import Engine

from metering.catalogue import projects
from metering.catalogue.periods import Day, Month
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.ledger.mqtt import MqttUsage, add_mqtt
from metering.months.due import due_months
from metering.pricing import plans
from metering.pricing.month_versions import in_month
from metering.running import allowances
from tests.support.platform import Platform

OCTOBER = datetime(2026, 10, 15, 12, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 3, 12, tzinfo=UTC)


def count(engine: Engine, key: tuple[int, int], at: datetime, inbound: int) -> None:
    with transaction(engine) as connection:
        add_mqtt(connection, {key: MqttUsage(inbound, 0, 0, 0, "topic")}, at)


def used(engine: Engine, near: float) -> list[tuple[int, int]]:
    """Project and messages of the running month, in the order in which they are listed."""
    versions = in_month(plans.load(None), Month.of(NOVEMBER))
    with transaction(engine) as connection:
        behind = bool(due_months(connection, NOVEMBER))
        rows = allowances.projects(connection, versions, NOVEMBER, near, behind)
    return [(row["project_id"], row["used"]) for row in rows if row["meter"] == "mqtt_inbound"]


def test_a_month_that_is_not_closed_is_taken_out(engine: Engine, platform: Platform) -> None:
    organization = platform.organization()
    key = organization, platform.project(organization, created_at="2026-10-01T00:00:00Z")
    count(engine, key, OCTOBER, 1000)
    with transaction(engine) as connection:
        seal_through(connection, Day(date(2026, 11, 2)), projects.ids(connection), NOVEMBER)
    count(engine, key, NOVEMBER, 7)
    assert platform.scalar("SELECT mqtt_inbound FROM project_stats") == 1007
    assert used(engine, 0) == [(key[1], 7)]


@pytest.mark.parametrize("at_once", [1, 2, 5, 100])
def test_the_worst_come_first_however_many_are_read_at_once(
    engine: Engine, platform: Platform, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(allowances, "AT_ONCE", at_once)
    organization = platform.organization()
    amounts = [300, 5, 70_000_000, 0, 900, 70_000_000]
    ids = [platform.project(organization, created_at="2026-11-01T00:00:00Z") for _ in amounts]
    for project, amount in zip(ids, amounts, strict=True):
        count(engine, (organization, project), NOVEMBER, amount)
    order = sorted(zip(ids, amounts, strict=True), key=lambda one: (-one[1], one[0]))
    assert used(engine, 0) == order
    assert used(engine, 1) == order[:2]
