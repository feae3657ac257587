"""A limit check on 100,000 projects, beside the same answer from three rows loaded by the ORM.

The running month is November, 13 hours old; October is sealed and not closed yet, so that its usage
must be left out; one organization has 5,000 projects. FLEETMETER_BENCH_FOLDER says where the database
is kept.
"""

import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from benchmarks import _database
from benchmarks._console_fleet import DAILY, LIVE, NAMES, usage
from fleetmeter import LimitService, environment, schema
from metering.catalogue.periods import Month
from metering.config.settings import load_settings
from metering.db import tables
from metering.db.engine import open_engine
from metering.ledger.partitions import ensure_partition
from metering.pricing import plans

OUT = Console(highlight=False, width=120)
PROJECTS, ORGANIZATIONS, LARGE, USERS = 100_000, 10_000, 5_000, 200_000
FOLDER = Path(os.environ.get("FLEETMETER_BENCH_FOLDER", ".fleetmeter/bench-limits"))
AT = datetime(2026, 11, 1, 13, tzinfo=UTC)
RUNNING = Month.of(AT)
CHECKS = 1_000
BOUND = 5.0  # milliseconds, p99

PLATFORM = """
    INSERT INTO organizations (name, tier, created_at)
        SELECT 'Organization ' || n, (ARRAY['free', 'starter', 'pro'])[n % 3 + 1], '2024-01-01Z'
        FROM generate_series(1, :organizations) n;
    INSERT INTO users (organization_id, email)
        SELECT n % :organizations + 1, 'user' || n || '@example.com' FROM generate_series(1, :users) n;
    INSERT INTO projects (organization_id, name, created_at)
        SELECT CASE WHEN n % (:projects / :large) = 0 THEN 1 ELSE n % :organizations + 1 END, 'Fleet ' || n,
            '2024-01-01Z' FROM generate_series(1, :projects) n"""
STATS = f"""
    INSERT INTO usage_hourly (project_id, hour, {NAMES})
        SELECT p.id, h.hour, {usage("1")} FROM projects p CROSS JOIN generate_series(
            CAST(:start AS timestamptz) - interval '1 day', CAST(:at AS timestamptz), '1 hour') h (hour);
    INSERT INTO project_stats (project_id, {LIVE}, open_from, updated_at, mqtt_measured_at)
        SELECT p.id, {usage("1500")}, CAST(:start AS timestamptz), :at, :at FROM projects p"""

Ask = Callable[[int, int], object]


def ready(folder: Path) -> str:
    """The URL of that folder's database; it is filled where it is empty."""
    url = _database.start(folder)
    settings = load_settings(database_url=url.render_as_string(hide_password=False))
    engine = open_engine(settings)
    schema.migrate(engine)
    with engine.begin() as connection:
        if not connection.scalar(text("SELECT EXISTS (SELECT FROM project_stats)")):
            OUT.print(f"filling {folder} …", style="dim")
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            for month in (RUNNING.previous(), RUNNING):
                ensure_partition(connection, month)
            values = {"projects": PROJECTS, "organizations": ORGANIZATIONS, "large": LARGE, "users": USERS}
            values |= {"first": RUNNING.previous().first.date, "last": RUNNING.previous().last.date}
            for statement in (*PLATFORM.split(";"), DAILY, *STATS.split(";"), "ANALYZE"):
                connection.execute(text(statement), values | {"at": AT, "start": RUNNING.start})
    engine.dispose()
    return url.render_as_string(hide_password=False)


def by_orm(engine: Engine) -> Ask:
    """What a backend would write: organization, project and totals as objects, compared in Python."""
    offered = plans.load(None).in_force(Month.of(AT).last.date)
    organizations, projects = tables.organizations, tables.projects

    def ask(org: int, project: int) -> object:
        with Session(engine) as session:
            owner = session.execute(organizations.select().where(organizations.c.id == org)).one()
            session.execute(projects.select().where(projects.c.id == project)).one()
            stats: Any = session.get_one(tables.ProjectStats, project)
            included = offered.tier(owner.tier).meters["mqtt_inbound"].included
            return stats.mqtt_inbound < included

    return ask


def checks(service: LimitService) -> dict[str, Ask]:
    """Every check, as one question about an organization and a project."""
    return {
        "projects": lambda org, _: service.check_project_limit(org),
        "users": lambda org, _: service.check_user_limit(org, 1),
        "devices": service.check_device_limit,
        "storage": lambda org, project: service.check_storage_limit(org, project, 500),
        "mqtt_inbound": service.check_mqtt_inbound_limit,
        "mqtt_outbound": service.check_mqtt_outbound_limit,
        "ecr_images": service.check_ecr_image_limit,
        "projects, of 5,000": lambda *_: service.check_project_limit(1),
    }


def main() -> None:
    """Percentiles of each check, in milliseconds, and p99 against the bound."""
    settings = load_settings(database_url=ready(FOLDER.resolve()))
    service = LimitService(environment.engine(settings, ping=False), plans.load(None), lambda: AT)
    with service.engine.connect() as connection:
        pairs = [tuple(row) for row in connection.execute(text("SELECT organization_id, id FROM projects"))]
    sample = random.Random(1).sample(pairs, CHECKS)
    table = Table("check", "p50 ms", "p95", "p99", "slowest", f"p99 under {BOUND:g}")
    rows = checks(service) | {"mqtt_inbound by the ORM": by_orm(environment.engine(settings))}
    medians = {}
    for name, ask in rows.items():
        milliseconds = timed(ask, sample)
        medians[name] = statistics.median(milliseconds)
        cuts = statistics.quantiles(milliseconds, n=100)
        figures = [f"{value:.2f}" for value in (medians[name], cuts[94], cuts[98], max(milliseconds))]
        table.add_row(name, *figures, "yes" if cuts[98] < BOUND else "NO")
    OUT.print(table)
    ratio = medians["mqtt_inbound"] / medians["mqtt_inbound by the ORM"]
    OUT.print(f"a check of ours takes {ratio:.2f}x the time of the ORM's, which leaves October in")


def timed(ask: Ask, sample: Sequence[Any]) -> list[float]:
    """Milliseconds of each, on a warm connection."""
    for org, project in sample[:100]:
        ask(org, project)
    milliseconds = []
    for org, project in sample:
        began = time.perf_counter()
        ask(org, project)
        milliseconds.append((time.perf_counter() - began) * 1000)
    return milliseconds
