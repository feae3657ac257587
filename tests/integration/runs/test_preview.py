"""A dry run is the run itself, undone: it says the same, and changes nothing at all."""

import threading
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import Engine

from metering.config.settings import Settings
from metering.db.transactions import transaction
from metering.ledger.mqtt import MqttUsage, add_mqtt
from metering.ledger.partitions import ensure_partitions
from metering.pricing import plans
from metering.proof.verify import verify
from metering.running import spend
from tests.support import runs
from tests.support.closed_months import count
from tests.support.platform import Platform, hours

AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
TABLES = (
    *("usage_hourly", "project_stats", "daily_stats", "monthly_stats", "adjustments", "gaps"),
    *("plan_versions", "audit_log", "alerts"),
)


def state(platform: Platform) -> list[str]:
    query = "SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {} t"
    return [platform.scalar(query.format(table)) for table in TABLES]


def a_month(engine: Engine, platform: Platform) -> int:
    organization = platform.organization("starter")
    project = platform.project(organization, created_at="2026-10-20T00:00:00Z")
    count(engine, organization, project, 1_500_000, datetime(2026, 10, 25, 12, tzinfo=UTC))
    platform.logs(project, datetime(2026, 10, 26, 9, tzinfo=UTC), 7)
    platform.logs(project, AT - hours(2), 3)
    return project


def test_the_preview_of_a_close_is_what_the_close_does(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = a_month(engine, platform)
    before = state(platform)
    row_counts = {table: platform.scalar(f"SELECT count(*) FROM {table}") for table in TABLES}
    dry_run = runs.run_now(configured, engine, "monthly", AT, dry_run=True)
    assert state(platform) == before
    outcome = runs.run_now(configured, engine, "monthly", AT)
    preview = dry_run.result.pop("preview")
    assert {**outcome.result, "dry_run": True} == dry_run.result
    days, logs = platform.rows("SELECT count(*), sum(logs)::int FROM daily_stats")[0]
    total = platform.scalar("SELECT sum(total_charge) FROM monthly_stats")
    rows = {table: platform.scalar(f"SELECT count(*) FROM {table}") for table in preview["rows"]}
    assert preview["rows"] == {table: rows[table] - row_counts[table] for table in rows}
    assert (preview["rows"]["daily_stats"], preview["rows"]["monthly_stats"]) == (days, 1)
    assert (preview["usage"]["logs"], preview["usage"]["mqtt_inbound"]) == (logs, 1_500_000) == (7, 1_500_000)
    assert {currency: Decimal(value) for currency, value in preview["money"].items()} == {"USD": total}
    assert preview["projects"] == [
        {"project_id": project, "days": days, "bills": 1, "charge": str(total), "currency": "USD"}
    ]
    assert verify(engine).sound


def test_the_preview_of_a_backfill_counts_what_the_platform_wrote_late(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = platform.project(created_at="2026-11-10T00:00:00Z")
    runs.run_now(configured, engine, "hourly", AT)
    platform.logs(project, datetime(2026, 11, 12, 9, tzinfo=UTC), 5)
    arguments = {"from": "2026-11-10", "to": "2026-11-12"}
    before = state(platform)
    dry_run = runs.run_now(configured, engine, "backfill", AT, dry_run=True, arguments=arguments)
    assert state(platform) == before
    runs.run_now(configured, engine, "backfill", AT, arguments=arguments)
    assert dry_run.result["preview"]["rows"]["daily_stats"] == 3
    assert platform.scalar("SELECT count(*) FROM daily_stats") == 3


def test_the_preview_of_a_refresh_says_what_would_be_counted_and_its_money(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    organization = platform.organization("starter")
    project = platform.project(organization, created_at="2026-11-20T00:00:00Z")
    platform.logs(project, AT - hours(3), 11)
    platform.sql(
        "INSERT INTO api_calls (project_id, created_at) SELECT :id, :at FROM generate_series(1, 300000)",
        id=project,
        at=AT - hours(3),
    )

    def charged() -> Decimal:
        with transaction(engine) as connection:
            return sum((one.so_far for one in spend.by_project(connection, plans.load(None), AT)), Decimal(0))

    before, paid = state(platform), charged()
    preview = runs.run_now(configured, engine, "hourly", AT, dry_run=True).result["preview"]
    assert (state(platform), charged()) == (before, paid)
    runs.run_now(configured, engine, "hourly", AT)
    assert preview["usage"] == {"logs": 11, "api_calls": 300000}
    assert {k: Decimal(v) for k, v in preview["month_to_date"].items()} == {"USD": charged() - paid}
    assert preview["rows"]["usage_hourly"] == platform.scalar("SELECT count(*) FROM usage_hourly") > 0


def test_the_preview_of_the_judgement_names_the_alerts_it_would_open(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    organization = platform.organization("starter")
    project = platform.project(organization, created_at="2026-09-01T00:00:00Z")
    for number in range(84):
        day = datetime(2026, 9, 1, 9, tzinfo=UTC) + hours(24 * number)
        count(engine, organization, project, 9_000 if number == 81 else 1_000 + number % 7, day)
    runs.run_now(configured, engine, "daily", AT)
    before = state(platform)
    preview = runs.run_now(configured, engine, "anomalies", AT, dry_run=True).result["preview"]
    assert state(platform) == before
    outcome = runs.run_now(configured, engine, "anomalies", AT)
    opened = platform.rows("SELECT project_id, subject, detail FROM alerts ORDER BY id")
    assert outcome.result["anomalies"] == preview["rows"]["alerts"] == len(opened) > 0
    assert [(one["project_id"], one["subject"], one["detail"]) for one in preview["alerts"]] == opened


def test_messages_counted_while_a_preview_runs_are_kept(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = a_month(engine, platform)
    organization = platform.scalar("SELECT organization_id FROM projects")
    ensure_partitions(engine, AT)  # as a counter daemon does before it writes
    stop = threading.Event()
    flushes = 0

    def flush() -> None:
        nonlocal flushes
        while not stop.is_set():
            with transaction(engine) as connection:
                add_mqtt(connection, {(organization, project): MqttUsage(1, 0, 1, 0, "t")}, AT)
            flushes += 1

    counter = threading.Thread(target=flush)
    counter.start()
    for _ in range(3):
        runs.run_now(configured, engine, "monthly", AT, dry_run=True)
    stop.set()
    counter.join()
    assert flushes > 0
    assert platform.scalar("SELECT mqtt_inbound FROM project_stats") == 1_500_000 + flushes
    assert platform.scalar("SELECT count(*) FROM monthly_stats") == 0
    assert verify(engine).sound


def test_a_failing_preview_leaves_nothing_behind(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    a_month(engine, platform)
    platform.sql("ALTER TABLE daily_stats ADD CONSTRAINT broken CHECK (date < '2026-10-27')")
    before = state(platform)
    dry_run = runs.run_now(configured, engine, "daily", AT, dry_run=True)
    assert state(platform) == before
    assert dry_run.errors
    assert dry_run.result["preview"]["rows"]["daily_stats"] == 0


def test_a_backfill_names_the_days_that_are_sealed_already(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    platform.project(created_at="2026-11-20T00:00:00Z")
    days = {"from": "2026-11-20", "to": "2026-11-21"}
    runs.run_now(configured, engine, "backfill", AT, arguments=days)
    again = runs.run_now(configured, engine, "backfill", AT, arguments=days | {"to": "2026-11-22"})
    assert again.result["already_sealed"] == {"2026-11-20": 1, "2026-11-21": 1}
    assert "sealed already: 20–21 Nov, 1 project" in again.sentence
