"""Meters of the platform's own go the way of every other: ledger, day, month, bill, proof."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from metering.catalogue import own_meters, projects
from metering.catalogue.own_meters import OwnMeter
from metering.catalogue.periods import Day, Month
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.ledger import own_usage
from metering.ledger.own_usage import Usage
from metering.months.close import close_month
from metering.months.explain import explain
from metering.months.explanation import render
from metering.pricing import plans
from metering.pricing.plans import Plans
from metering.proof.verify import verify
from metering.running import allowances, checks, spend
from tests.support.closed_months import OCTOBER
from tests.support.platform import Platform

METERS = {
    "query_seconds": OwnMeter("query_seconds", "seconds", "sum", "Query time", ""),
    "peak_robots": OwnMeter("robots_online", "robots", "max", "Robots online", ""),
}
METERS = {meter.name: meter for meter in METERS.values()}
PLANS = """
[[versions]]
effective = 2025-01-01
currency = "USD"
{prorate}
[versions.tiers.free]
[versions.tiers.pro]
fee = "10"
[versions.tiers.pro.meters.query_seconds]
included = 100
overage = {{ model = "per_unit", price = "0.50" }}
[versions.tiers.pro.meters.robots_online]
included = 5
limit = "hard"
overage = {{ model = "per_unit", price = "2" }}
"""
DAY = timedelta(days=1)
MID = datetime(2026, 10, 15, 12, tzinfo=UTC)


def load_plans(folder: Path, prorate: str = "") -> Plans:
    file = folder / "plans.toml"
    file.write_text(PLANS.format(prorate=prorate))
    return plans.load(file, own=METERS)


def report(engine: Engine, project: int, at: datetime, **quantities: int) -> None:
    with transaction(engine) as connection:
        own_meters.declare(connection, METERS, at)
        usage = [Usage(project, at.replace(minute=0, second=0), name, n) for name, n in quantities.items()]
        projects.ensure(connection, [project], at)
        own_usage.add(connection, usage, {"robots_online"}, at)


@pytest.fixture
def project(platform: Platform) -> int:
    return platform.project(platform.organization("pro"), created_at=OCTOBER.start)


def seal(engine: Engine, project: int, day: Day) -> None:
    with transaction(engine) as connection:
        seal_through(connection, day, [project], day.end)


def close(engine: Engine, project: int, offered: Plans, month: Month = OCTOBER) -> None:
    with transaction(engine) as connection:
        assert close_month(connection, month, [project], offered, month.end, "operator@cli").closed == 1


def test_hours_become_a_day_a_month_a_bill_and_lifetime(engine: Engine, project: int, tmp_path: Path) -> None:
    offered = load_plans(tmp_path)
    for hour, (seconds, robots) in enumerate([(60, 3), (70, 8), (90, 4)]):
        report(engine, project, MID + timedelta(hours=hour * 8), query_seconds=seconds, robots_online=robots)
    november = OCTOBER.next().start + timedelta(hours=3)
    report(engine, project, november, query_seconds=7, robots_online=6)
    with transaction(engine) as connection:
        running = spend.by_project(connection, offered, OCTOBER.end - timedelta(minutes=1), project)
    assert str(running[0].so_far) == "76.00"  # 10 + (220 - 100) x 0.50 + (8 - 5) x 2
    close(engine, project, offered)
    with engine.connect() as connection:
        bill = connection.execute(text("SELECT * FROM monthly_stats")).one()
        days = connection.scalars(
            text("SELECT meters FROM daily_stats WHERE meters <> '{}' ORDER BY date")
        ).all()
        live = connection.execute(text("SELECT meters, lifetime_meters FROM project_stats")).one()
        shown = "\n".join(render(explain(connection, project, OCTOBER)))
    assert days == [{"query_seconds": 130, "robots_online": 8}, {"query_seconds": 90, "robots_online": 4}]
    assert bill.meters == {"query_seconds": 220, "robots_online": 8}
    assert str(bill.total_charge) == "76.00"
    assert live.meters == {"query_seconds": 7, "robots_online": 6}
    assert live.lifetime_meters == {"query_seconds": 220, "robots_online": 8}
    assert "query_seconds (pro): 220 used - 100 included = 120 over; per_unit: 120 units x 0.50" in shown
    assert "12:00                60" in shown
    assert verify(engine).discrepancies == []
    close(engine, project, offered, OCTOBER.next())
    with engine.connect() as connection:
        live = connection.execute(text("SELECT meters, lifetime_meters FROM project_stats")).one()
    assert live.meters == {}
    assert live.lifetime_meters == {"query_seconds": 227, "robots_online": 8}
    assert verify(engine).discrepancies == []


def test_limits_and_prorated_tiers_know_own_meters(
    engine: Engine, platform: Platform, project: int, tmp_path: Path
) -> None:
    offered = load_plans(tmp_path, "prorate = true")
    report(engine, project, MID, query_seconds=90, robots_online=5)
    with engine.connect() as connection:
        read = checks.of_project(connection, offered, project, MID)
        listed = allowances.projects(connection, offered.in_force(MID.date()), MID, 0.8, False, project)
        behind = allowances.projects(connection, offered.in_force(MID.date()), MID, 0.8, True, project)
    own = {check.meter: (check.limit.used, check.limit.allowed) for check in read if check.meter in METERS}
    assert own == {"query_seconds": (90, True), "robots_online": (5, False)}
    assert {row["meter"]: row["used"] for row in listed} == {"query_seconds": 90, "robots_online": 5}
    assert {row["meter"]: row["used"] for row in behind} == {"query_seconds": 90, "robots_online": 5}
    seal(engine, project, Day.of(MID))
    platform.sql("INSERT INTO organization_tiers SELECT id, :at, 'free' FROM organizations", at=MID + DAY)
    with engine.connect() as connection:
        running = spend.by_project(connection, offered, OCTOBER.end - timedelta(minutes=1), project)
    close(engine, project, offered)
    with engine.connect() as connection:
        charge = connection.scalar(text("SELECT total_charge FROM monthly_stats"))
    # 15 of 31 days pro: a fee of 10 x 15/31, 49 of 100 seconds included, 5 robots are no more than included.
    assert str(charge) == str(running[0].so_far) == "25.34"
    assert verify(engine).discrepancies == []
