"""Thirteen months of history, made day by day through the functions that make it in production.

A day is one transaction: rows of the platform, messages of each hour, the count, the samples, the
seal. So it may be interrupted anywhere, and goes on with the first day that is not sealed.
"""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text

from collectors.platform.source import PLATFORM_DB
from fleetmeter.demo import platform_rows, stories, world
from fleetmeter.demo.platform_rows import LOG_BYTES, MESSAGES_PER_ROW, RETENTION, Span
from fleetmeter.demo.world import PROJECTS, Project
from metering.catalogue.periods import Day, Hour, Month, days
from metering.days.seal import seal_through
from metering.db.transactions import advisory_lock, transaction
from metering.ledger.gauges import record_gauges
from metering.ledger.mqtt import MqttUsage, add_mqtt
from metering.ledger.partitions import ensure_partitions
from metering.ledger.recount import apply_staged
from metering.months.close import close_month
from metering.pricing import plans

STEP = 3  # hours between two flushes of the history
# A counter of its own, so that the days of the history are as measured as they were simulated.
COUNTER = text("""
    INSERT INTO mqtt_sessions (client_id, session_started_at, last_seen_at, broker, retired_at)
    VALUES ('simulated-history', :start, :until, 'simulated', :until)
    ON CONFLICT (client_id) DO UPDATE SET last_seen_at = :until, retired_at = :until""")

# The simulated customers had Fleetmeter from the beginning: months before an installation get no bills.
INSTALLED = text("""
    INSERT INTO audit_log (at, actor, action, subject, after)
    SELECT CAST(:start AS timestamptz), 'demo', 'install', 'fleetmeter', '{}'
    WHERE NOT EXISTS (SELECT FROM audit_log WHERE action = 'install' AND at <= :start)""")

# When the demo was first started: the special days do not move with later starts.
FIRST_SEEN = text("""
    WITH first AS (
        INSERT INTO audit_log (at, actor, action, subject)
        SELECT :now, 'demo', 'demo', 'history'
        WHERE NOT EXISTS (SELECT FROM audit_log WHERE action = 'demo') RETURNING at)
    SELECT min(at) FROM (SELECT at FROM first UNION ALL
        SELECT at FROM audit_log WHERE action = 'demo') seen""")

Advance = Callable[[str, int, int], None]


def make(engine: Engine, now: datetime, advance: Advance, months: int = 13) -> None:
    """Seal every day before today, count today's hours, close the months before the first start.

    Months that end later are the runner's to close: it recounts their missing days first.
    """
    with transaction(engine) as connection:
        world.create(connection, world.began(now, months).start, now)
        start = connection.execute(text("SELECT created_at FROM projects WHERE id = 1")).scalar_one()
        connection.execute(INSTALLED, {"start": start})
        first_start = connection.execute(FIRST_SEEN, {"now": now}).scalar_one()
        first = _next_day(connection, start)
    missing_days = list(days(first, Day.of(now)))
    day_count = (Day.of(now).date - Day.of(start).date).days + 1
    for number, day in enumerate(missing_days, day_count - len(missing_days)):
        advance(f"history {day}", number, day_count)
        ensure_partitions(engine, day.start)
        with transaction(engine) as connection:
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            connection.execute(COUNTER, {"start": start, "until": min(day.end, now)})
            _live(connection, day, now, first_start)
            if day.end <= first_start and Month.of(day.end) != Month.of(day.start):
                _close(connection, Month.of(day.start), day.end)
    advance("history", day_count, day_count)


def _next_day(connection: Connection, start: datetime) -> Day:
    """Return the first day that the history lacks: the first project is open from it."""
    open_from = connection.scalar(text("SELECT open_from FROM project_stats WHERE project_id = 1"))
    if open_from is None:
        return Day.of(start)
    today = connection.scalar(
        text("SELECT 1 FROM usage_hourly WHERE project_id = 1 AND hour >= :open"), {"open": open_from}
    )
    return Day.of(open_from).next() if today else Day.of(open_from)


def _live(connection: Connection, day: Day, now: datetime, first_start: datetime) -> None:
    """Insert the usage of `day`, and seal it if it is over; `first_start`: of the demo."""
    until = min(day.end, now)
    stories.tell(connection, day, first_start, plans.load(world.PLANS))
    _messages(connection, day, until, first_start)
    _samples(connection, day, until - timedelta(minutes=20), first_start)
    ids = [project.id for project in PROJECTS]
    advisory_lock(connection, PLATFORM_DB.name)
    platform_rows.count(connection, _span(day, until, first_start), first_start)
    apply_staged(
        connection, PLATFORM_DB.name, ids, day.start, Hour.of(until - timedelta(seconds=1)).end, until
    )
    if day.end <= now:
        _seal(connection, day, first_start)


def _seal(connection: Connection, day: Day, first_start: datetime) -> None:
    """Seal a day, except that one project misses the seals of three days; its hours are in the ledger."""
    missing = day in world.missing_days(first_start)
    ids = [project.id for project in PROJECTS if not (missing and project.id == world.MISSING_DAYS)]
    seal_through(connection, day, ids, day.end)
    if missing:  # as an outage of an earlier installation left it: open from the next day
        connection.execute(
            text("UPDATE project_stats SET open_from = :end WHERE project_id = :id"),
            {"end": day.end, "id": world.MISSING_DAYS},
        )


def _close(connection: Connection, month: Month, at: datetime) -> None:
    ids = [project.id for project in PROJECTS]
    close_month(connection, month, ids, plans.load(world.PLANS), at, "demo history")


def activity(project: Project, day: Day, first_start: datetime) -> float:
    """Return a project's activity on a day (weeks, growth, noise, the spike); 1.0 is today's mean."""
    if project.id == world.INACTIVE and day.start > world.inactive_from(first_start):
        return 0.0
    noise = random.Random(f"{project.id} {day}").uniform(0.9, 1.1)
    weekend = 0.6 if day.date.weekday() >= 5 else 1.15
    spike = 8.0 if project.id == world.SPIKE and day == world.spike_day(first_start) else 1.0
    return noise * weekend * _growth(day, first_start) * spike


def _growth(day: Day, first_start: datetime) -> float:
    return 1 - 0.5 * (Day.of(first_start).date - day.date).days / 400


def _messages(connection: Connection, day: Day, until: datetime, first_start: datetime) -> None:
    owners = world.owners(connection)
    moment = day.start
    while moment < until:
        end = min(moment + timedelta(hours=STEP), until)
        share = 0.7 if moment.hour < 6 else 1.1
        usage = {}
        for project in PROJECTS:
            count = round(
                project.rate * (end - moment).total_seconds() * share * activity(project, day, first_start)
            )
            if count:
                outbound = count // 10
                inbound = count - outbound
                usage[owners[project.id], project.id] = MqttUsage(
                    inbound, outbound, inbound * 180, outbound * 90, "history"
                )
        add_mqtt(connection, usage, moment)
        moment = end


def _span(day: Day, until: datetime, first_start: datetime) -> Span:
    seconds = (until - day.start).total_seconds()
    return Span(day, until, {p.id: p.rate * seconds * activity(p, day, first_start) for p in PROJECTS})


def _samples(connection: Connection, day: Day, at: datetime, first_start: datetime) -> None:
    age = (Day.of(first_start).date - day.date).days / 400
    running = [p for p in PROJECTS if activity(p, day, first_start) > 0]
    storage = {
        p.id: {"s3_storage_bytes": round(p.s3_bytes * (1 - 0.6 * age))}
        for p in running
        if p.id != world.DENIED or age > 0.05  # its bucket policy changed three weeks ago
    }
    images = {
        p.id: {"ecr_image_count": p.images, "docker_storage_bytes": p.images * 50_000_000} for p in running
    }
    entries = 86_400 * (RETENTION / timedelta(days=1) + 0.5) / MESSAGES_PER_ROW["logs"]
    devices = {
        p.id: {
            "device_count": p.devices,
            "active_device_count": p.devices - p.id % 3,
            "logs_storage_bytes": round(p.rate * _growth(day, first_start) * entries) * LOG_BYTES,
        }
        for p in running
    }
    record_gauges(connection, "s3", storage, at)
    record_gauges(connection, "ecr", images, at)
    record_gauges(connection, "platform_db", devices, at)
