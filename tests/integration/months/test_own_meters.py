"""Meters of the platform's own go the way of every other: ledger, day, month, bill, proof."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from metering.archive.files import write_files
from metering.archive.restore import restore_rows
from metering.catalogue import own_meters, projects
from metering.catalogue.own_meters import OwnMeter
from metering.catalogue.periods import Day, Month
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.errors import AdjustmentRefused, PlanError, SettingsError
from metering.ledger import own_usage
from metering.ledger.own_usage import Usage
from metering.months import adjustments, corrected_bills
from metering.months.adjustment import Adjustment
from metering.months.close import close_month
from metering.months.explain import explain
from metering.months.explanation import render
from metering.pricing import plans
from metering.pricing.month_versions import in_month
from metering.pricing.plans import Plans
from metering.proof import offline
from metering.proof.verify import verify
from metering.running import allowances, checks, spend
from tests.support.closed_months import OCTOBER, export_days, export_month
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
        lines = "\n".join(render(explain(connection, project, OCTOBER)))
    assert days == [{"query_seconds": 130, "robots_online": 8}, {"query_seconds": 90, "robots_online": 4}]
    assert bill.meters == {"query_seconds": 220, "robots_online": 8}
    assert str(bill.total_charge) == "76.00"
    assert live.meters == {"query_seconds": 7, "robots_online": 6}
    assert live.lifetime_meters == {"query_seconds": 220, "robots_online": 8}
    assert "Query time" in lines
    assert "10.00 + overage 66.00" in lines
    assert "12:00                60" in lines
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
        versions = in_month(offered, Month.of(MID))
        listed = allowances.projects(connection, versions, MID, 0.8, False, project)
        behind = allowances.projects(connection, versions, MID, 0.8, True, project)
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


def correct(
    engine: Engine, project: int, meter: str, quantity: int, about: date, offered: Plans, at: datetime
) -> int:
    with transaction(engine) as connection:
        adjustment = Adjustment(project, meter, quantity, None, about, "metered twice", "ann@example.com")
        return adjustments.post(connection, adjustment, offered, at)


def test_corrections_of_own_meters_are_worth_what_they_say(
    engine: Engine, project: int, tmp_path: Path
) -> None:
    offered = load_plans(tmp_path)
    report(engine, project, MID, query_seconds=150, robots_online=6)
    about, later = MID.date(), OCTOBER.next().start + DAY
    correct(engine, project, "query_seconds", -30, about, offered, MID + DAY)
    wrong = correct(engine, project, "robots_online", 20, about, offered, MID + DAY)
    correct(engine, project, "robots_online", 9, about, offered, MID + DAY)
    with pytest.raises(AdjustmentRefused, match="cannot be negative"):
        correct(engine, project, "robots_online", -1, about, offered, MID + DAY)
    with pytest.raises(AdjustmentRefused, match=r"'clicks' is no counter; .* robots_online"):
        correct(engine, project, "clicks", 1, about, offered, MID + DAY)
    with transaction(engine) as connection:
        adjustments.reverse(connection, project, wrong, "a typing error", "ann", offered, MID + DAY)
    close(engine, project, offered)
    with engine.connect() as connection:
        bill = connection.execute(text("SELECT meters, total_charge FROM monthly_stats")).one()
    assert bill.meters == {"query_seconds": 120, "robots_online": 9}
    assert str(bill.total_charge) == "28.00"  # 10 + 20 x 0.50 + 4 x 2
    correct(engine, project, "query_seconds", 40, about, offered, later)
    raised = correct(engine, project, "robots_online", 12, about, offered, later)
    correct(engine, project, "robots_online", 11, about, offered, later)
    with pytest.raises(AdjustmentRefused, match="cannot become smaller"), transaction(engine) as connection:
        adjustments.reverse(connection, project, raised, "no", "ann", offered, later)
    with engine.connect() as connection:
        query = text("SELECT amount FROM adjustments WHERE amount IS NOT NULL ORDER BY id")
        assert list(map(str, connection.scalars(query))) == ["20.00", "6.00", "0.00"]
        (view,) = corrected_bills.views(connection, OCTOBER)
    assert (view["as_corrected"]["query_seconds"], view["as_corrected"]["robots_online"]) == (160, 12)
    assert verify(engine).discrepancies == []


def test_files_of_own_meters_verify_offline_and_restore(engine: Engine, project: int, tmp_path: Path) -> None:
    offered = load_plans(tmp_path)
    report(engine, project, MID, query_seconds=150, robots_online=6)
    correct(engine, project, "query_seconds", 7, MID.date(), offered, MID + DAY)
    correct(engine, project, "robots_online", 8, MID.date(), offered, MID + DAY)
    close(engine, project, offered)
    export_month(engine, OCTOBER, tmp_path / "bills.csv")
    export_month(engine, OCTOBER, tmp_path / "bills.parquet", "parquet")
    export_days(engine, OCTOBER, tmp_path / "days.csv")
    for names in (["bills.csv", "days.csv"], ["bills.parquet"]):
        assert offline.verify([tmp_path / name for name in names])[1] == []
    changed = (tmp_path / "bills.csv").read_text().replace('""query_seconds"":157', '""query_seconds"":156')
    (tmp_path / "changed.csv").write_text(changed)
    assert "not as it was sealed" in offline.verify([tmp_path / "changed.csv"])[1][0]
    folder = tmp_path / "archive"
    folder.mkdir()
    write_files(engine, OCTOBER, folder)
    with transaction(engine) as connection:
        restored = restore_rows(connection, OCTOBER, folder, "ann", OCTOBER.end)
    assert (restored.bills, restored.days, restored.adjustments) == (0, 0, 0)


@pytest.mark.parametrize(
    ("statement", "law"),
    [
        ("UPDATE usage_hourly SET meters = '[1]'", "a day = its hours"),
        ('UPDATE daily_stats SET meters = \'{"query_seconds": "x"}\'', "a day = its hours"),
        ("UPDATE daily_stats SET meters = '{}' WHERE meters <> '{}'", "a sealed day is as it was sealed"),
        ("UPDATE monthly_stats SET meters = '5'", "a closed month is as it was sealed"),
        ("UPDATE project_stats SET meters = '{\"clicks\": 1}'", "project_stats = hours of the open months"),
        ("UPDATE project_stats SET lifetime_meters = '{}'", "lifetime = all closed months"),
    ],
)
def test_verify_names_a_cell_that_was_rewritten(
    engine: Engine, project: int, tmp_path: Path, statement: str, law: str
) -> None:
    report(engine, project, MID, query_seconds=150, robots_online=6)
    close(engine, project, load_plans(tmp_path))
    assert verify(engine).discrepancies == []
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for table in ("daily_stats", "monthly_stats"):
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        connection.execute(text(statement))
    assert any(broken.law.startswith(law) for broken in verify(engine).discrepancies)


def test_a_meter_that_left_the_file_stays_and_keeps_its_aggregation(
    engine: Engine, project: int, tmp_path: Path
) -> None:
    report(engine, project, MID, query_seconds=150, robots_online=6)
    changed = replace(METERS["robots_online"], aggregation="sum")
    refusal = pytest.raises(SettingsError, match="robots_online has usage with the aggregation max")
    with refusal, transaction(engine) as connection:
        own_meters.declare(connection, {"robots_online": changed}, MID)
    with transaction(engine) as connection:
        own_meters.declare(connection, {}, MID)
        assert list(own_meters.by_name(connection)) == ["query_seconds", "robots_online"]
    close(engine, project, load_plans(tmp_path))
    assert verify(engine).discrepancies == []
    with pytest.raises(PlanError, match="there is no meter query_seconds, robots_online"):
        plans.load(tmp_path / "plans.toml", own=())
