"""The console's benchmark database: projects, three years of their days, months, and many job runs.

It is made by SQL and kept in a data folder: made once, and topped up with the days since.
"""

from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, text

from benchmarks import _database
from fleetmeter import schema
from metering.catalogue.meters import COUNTERS, GAUGES
from metering.catalogue.periods import Day, Month, days
from metering.ledger.partitions import ensure_partition

DAYS = 1096
NAMES = ", ".join(meter.name for meter in (*COUNTERS, *GAUGES))
PEAKS = ", ".join([counter.name for counter in COUNTERS] + [f"peak_{gauge.name}" for gauge in GAUGES])
LIVE = ", ".join([counter.name for counter in COUNTERS] + [gauge.live for gauge in GAUGES])
LIFETIME = ", ".join(f"lifetime_{counter.name}" for counter in COUNTERS)


def usage(times: str) -> str:
    """Values of every meter for project `p.id`, `times` a day's worth of the counters."""
    counter_values = [f"(p.id % 97 + {n}) * (100 + {n}) * {times}" for n in range(len(COUNTERS))]
    return ", ".join(counter_values + [f"(p.id % 53 + {n}) * 1000" for n in range(len(GAUGES))])


COVERAGE = """'{"mqtt": {"hours": 24, "of": 24, "state": "measured"},
    "platform_db": {"hours": 24, "of": 24, "state": "measured"},
    "s3": {"state": "measured", "sampled_at": "2026-01-01T23:00:00Z"},
    "ecr": {"state": "measured", "sampled_at": "2026-01-01T23:00:00Z"}}'::jsonb"""
HASH = "md5(p.id::text) || md5(d.day::text)"

PLATFORM = """
    INSERT INTO organizations (name, tier, created_at)
        SELECT 'Organization ' || n, (ARRAY['free', 'starter', 'pro'])[n % 3 + 1], :since
        FROM generate_series(1, greatest(:projects / 10, 1)) n;
    INSERT INTO users (organization_id, email) SELECT id, 'user' || id || '@example.com' FROM organizations;
    INSERT INTO projects (organization_id, name, created_at)
        SELECT n % greatest(:projects / 10, 1) + 1, 'Fleet ' || n, :since
        FROM generate_series(1, :projects) n;
    INSERT INTO plan_versions VALUES ('bench', '{}')"""
DAILY = f"""
    INSERT INTO daily_stats (project_id, date, organization_id, year, month, day, {NAMES}, tier,
        coverage, row_hash, created_at)
    SELECT p.id, d.day, p.organization_id, extract(year FROM d.day), extract(month FROM d.day),
        extract(day FROM d.day), {usage("(20 + extract(isodow FROM d.day)::int)")}, 'starter', {COVERAGE},
        {HASH}, d.day + interval '1 day'
    FROM projects p CROSS JOIN (SELECT n::date AS day FROM generate_series(
        CAST(:first AS date), CAST(:last AS date), interval '1 day') n) d ORDER BY d.day, p.id"""
MONTHLY = f"""
    INSERT INTO monthly_stats (project_id, year, month, organization_id, {PEAKS}, tier, exceeded_limits,
        overage_charge, plan_fee, adjustment_charge, total_charge, currency, plan_version,
        days_present, days_expected, previous_seal, seal, closed_by)
    SELECT p.id, :year, :month, p.organization_id, {usage("700")}, 'starter', '[]', p.id % 50, 29, 0,
        29 + p.id % 50, 'EUR', 'bench', :days, :days, '', md5(p.id::text), 'schedule' FROM projects p"""
RUNNING = f"""
    TRUNCATE project_stats;
    INSERT INTO project_stats (project_id, {LIVE}, {LIFETIME}, open_from, updated_at,
        mqtt_measured_at, platform_db_measured_at, s3_measured_at, ecr_measured_at)
    SELECT p.id, {usage("20")}, {usage("27000").split(", (p.id % 53")[0]},
        :today, :at, :at, :at, :at, :at FROM projects p;
    INSERT INTO usage_hourly (project_id, hour, {NAMES}, measured)
    SELECT p.id, h.hour, {usage("1")}, '{{"platform_db": "2026-01-01T00:00:00Z"}}'
    FROM projects p CROSS JOIN generate_series(
        CAST(:today AS timestamptz) - interval '1 day', CAST(:at AS timestamptz), '1 hour') h (hour)
    ON CONFLICT DO NOTHING;
    TRUNCATE workers, mqtt_sessions;
    INSERT INTO workers (name, role, host, pid, last_seen_at)
        VALUES ('runner', 'runner', 'bench', 1, now() + interval '1 day');
    INSERT INTO mqtt_sessions (client_id, session_started_at, last_seen_at, connected)
        VALUES ('counter', :since, now() + interval '1 day', true)"""
RUNS = """
    INSERT INTO job_runs (job, period, at, trigger, requested_by, state, attempt, created_at,
        next_attempt_at, started_at, finished_at, project_id, result)
    SELECT (ARRAY['hourly', 'daily', 'anomalies', 'reconcile'])[n % 4 + 1], 'period ' || n, moment,
        CASE n % 5 WHEN 0 THEN 'console' ELSE 'schedule' END, 'bench',
        CASE WHEN n % 1000 = 0 AND n < :runs - 50000 THEN 'failed' ELSE 'succeeded' END, 1,
        moment, moment, moment, moment + n % 60 * interval '100 ms',
        CASE WHEN n % 5 = 0 THEN n % :projects + 1 END, '{"sealed": 0}'
    FROM (SELECT n, CAST(:at AS timestamptz) - (:runs - n) * interval '20 seconds' AS moment
        FROM generate_series(1, :runs) n) runs"""


def ready(folder: Path, projects: int, runs: int, at: datetime) -> URL:
    """The URL of that folder's database, filled up to `at`."""
    url = _database.start(folder)
    engine = create_engine(url, connect_args={"options": "-c timezone=UTC"})
    schema.migrate(engine)
    first = Day(Day.of(at).date - timedelta(days=DAYS))
    with engine.begin() as connection:
        empty = not connection.scalar(text("SELECT EXISTS (SELECT FROM projects)"))
        # What is checked for every row of real writers costs minutes here, and proves nothing.
        connection.execute(text("SET session_replication_role = replica"))
        if empty:
            _create_platform(connection, projects, runs, first, at)
    _days(engine, first, at)
    _now(engine, first, at)
    engine.dispose()
    return url


def _create_platform(connection: Connection, projects: int, runs: int, first: Day, at: datetime) -> None:
    values = {"since": first.start, "projects": projects, "runs": runs, "at": at}
    _each(connection, PLATFORM, values)
    connection.execute(text(RUNS), values)
    _each(
        connection,
        """ALTER TABLE audit_log DISABLE TRIGGER USER;
        UPDATE audit_log SET at = :since WHERE action = 'install';
        ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_sealed;
        ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_kept;
        ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_guarded""",
        values,
    )


def _days(engine: Engine, first: Day, at: datetime) -> None:
    """Every day from `first` to the one before `at` that is not there, and the months they complete."""
    with engine.connect() as connection:
        newest = connection.scalar(text("SELECT max(date) FROM daily_stats"))
    start = Day(newest + timedelta(days=1)) if newest else first
    last = Day.of(at).previous()
    missing_days = days(start, last) if start.date <= last.date else []
    for month in sorted({Month.of(day.start) for day in missing_days}):
        values = {"first": max(month.first.date, start.date), "last": min(month.last.date, last.date)}
        print(f"  {month}: days {values['first']} to {values['last']}", flush=True)
        with engine.begin() as connection:
            connection.execute(text("SET session_replication_role = replica; SET synchronous_commit = off"))
            ensure_partition(connection, month)
            connection.execute(text(DAILY), values)
            if values["last"] == month.last.date:
                count = (month.last.date - month.first.date).days + 1
                bill = {"year": month.year, "month": month.month, "days": count}
                connection.execute(text(MONTHLY), bill)
            summed = {"first": month.first.date, "until": month.next().first.date}
            connection.execute(text("SELECT fleetmeter_summarize(:first, :until)"), summed)


def _now(engine: Engine, first: Day, at: datetime) -> None:
    with engine.begin() as connection:
        ensure_partition(connection, Month.of(at))
        connection.execute(text("SET session_replication_role = replica"))
        _each(connection, RUNNING, {"today": Day.of(at).start, "at": at, "since": first.start})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def hours(engine: Engine, day: datetime) -> None:
    """Insert the 24 hours from `day` on, of every project, where they are missing."""
    statement = f"""INSERT INTO usage_hourly (project_id, hour, {NAMES}, measured)
        SELECT p.id, h.hour, {usage("1")}, '{{"platform_db": "2026-01-01T00:00:00Z"}}'
        FROM generate_series(CAST(:day AS timestamptz), CAST(:day AS timestamptz) + interval '23 hours',
            '1 hour') h (hour) CROSS JOIN projects p ON CONFLICT DO NOTHING"""
    with engine.begin() as connection:
        ensure_partition(connection, Month.of(day))
        connection.execute(text("SET session_replication_role = replica; SET synchronous_commit = off"))
        connection.execute(text(statement), {"day": day})


def _each(connection: Connection, statements: str, values: dict[str, object]) -> None:
    for statement in statements.split(";"):
        connection.execute(text(statement), values)
