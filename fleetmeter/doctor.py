"""`fleetmeter doctor`: the complaints operators have, each checked, with what to do.

The four complaints: counters do not increment, the hourly refresh does not update, daily snapshots
are missing, the monthly reset failed. Before them, what everything rests on: database and schema.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from collectors.platform.tables import missing_indexes
from fleetmeter import environment, schema
from fleetmeter import status as overview
from metering.catalogue import brokers
from metering.catalogue.sources import POLLED_SOURCES
from metering.config.settings import Settings
from metering.db import clock, workers
from metering.db.engine import open_engine
from metering.db.schema_head import HEAD
from metering.db.transactions import transaction
from metering.errors import FleetmeterError
from metering.ledger import sessions
from metering.ledger.mqtt import FORMER_ORGANIZATION
from metering.pricing import plans


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, what was found, and what to do when it is not all right."""

    checked: str
    ok: bool
    result: str
    advice: str = ""


def examine(settings: Settings, at: datetime) -> list[Finding]:
    """Every check, in the order in which one explains the next; `at` is now."""
    settings, findings = _database(settings)
    if not all(finding.ok for finding in findings):
        return findings
    engine = open_engine(settings, "fleetmeter doctor")
    findings.extend(broker(settings))
    with transaction(engine) as connection:
        findings.append(role(connection))
        findings.extend(clocks(connection, settings, at))
        for check in (counters, hourly, snapshots, closes):
            findings.extend(check(connection, settings, at))
    return findings


def _database(settings: Settings) -> tuple[Settings, list[Finding]]:
    checked = "database"
    try:
        if settings.embedded_database:
            settings = environment.load()
        engine = open_engine(settings, "fleetmeter doctor")
        with transaction(engine) as connection:
            version = connection.scalar(text("SHOW server_version"))
        findings = [Finding(checked, True, f"PostgreSQL {version} at {engine.url.host}")]
        checked = "schema"
        schema.require_head(engine)
        findings.append(Finding(checked, True, f"at head, {HEAD}"))
        with transaction(engine) as connection:
            findings.append(organizations(connection, settings))
        return settings, findings
    except FleetmeterError as error:
        return settings, [Finding(checked, False, str(error))]


def organizations(connection: Connection, settings: Settings) -> Finding:
    """Check that PostgreSQL keeps organizations apart, where their own people sign in."""
    enforced = connection.scalar(text("SELECT row_security_active('project_stats')"))
    needed = settings.sign_in and (settings.organization_claim or settings.organization_viewers)
    sentence = (
        "row-level security binds this role" if enforced else "row-level security does not bind this role"
    )
    advice = "" if enforced else "let DATABASE_URL name a role that is no superuser and has no BYPASSRLS"
    if not enforced:
        sentence += ", so that the console serves no organization's own people"
    return Finding("organizations", bool(enforced or not needed), sentence, advice if needed else "")


def broker(settings: Settings) -> Iterator[Finding]:
    """Whether the counter can log in to its broker and rely on it."""
    from collectors.mqtt.diagnostics import checks  # noqa: PLC0415 - a slow import that few commands need

    if settings.mqtt_url is None:
        yield Finding("broker", True, "MQTT_URL is not set: `up` and `demo` bring their own broker")
        return
    for answer in checks.examine(settings):
        yield Finding(*answer)


def role(connection: Connection) -> Finding:
    """Whether the triggers on sealed tables bind the role of this session."""
    name, owns = connection.execute(
        text("""
            SELECT current_user, bool_or(pg_has_role(current_user, relowner, 'USAGE')) FROM pg_class
            WHERE oid = ANY (ARRAY['daily_stats', 'monthly_stats', 'audit_log']::regclass[])""")
    ).one()
    if not owns:
        return Finding("role", True, f"{name} owns no sealed table: their triggers bind it")
    return Finding(
        "role",
        True,
        f"{name} owns the sealed tables: triggers do not bind the owner of a table, who can switch them off",
        "run counter, runner, console and api as fleetmeter_writer: deploy/roles/owner.sql says how",
    )


def clocks(connection: Connection, settings: Settings, at: datetime) -> Iterator[Finding]:
    """Whether this host's clock and those of runners agree with the database's."""
    ahead = clock.difference(connection, at)
    ok = abs(ahead.total_seconds()) <= settings.clock_tolerance
    advice = "" if ok else "set the clock that is wrong (NTP); until then jobs and --at refuse"
    yield Finding("clock", ok, clock.sentence(ahead), advice)
    for worker in workers.with_wrong_clock(connection, settings.clock_tolerance, "runner"):
        result = f"the clock of {worker.host} is {worker.seconds:+.1f} s off the database's"
        yield Finding("clock", False, result, "set it right (NTP); until then its runner does nothing")


def counters(connection: Connection, settings: Settings, at: datetime) -> Iterator[Finding]:
    """Why counters may not increment: no daemon, one that is away, or messages that match no project."""
    members = [member for member in sessions.members(connection) if member.retired_at is None]
    if not members:
        yield Finding(
            "counters",
            False,
            "no counter daemon has ever connected",
            f"start `fleetmeter counter` with MQTT_URL set; it subscribes to {settings.mqtt_topic_root}/#",
        )
        return
    for member in members:
        yield from _member(member, settings, at)
    yield from _unattributed(connection, settings, at)


def _member(member: sessions.Member, settings: Settings, at: datetime) -> Iterator[Finding]:
    group = f" of group {member.shared_group}" if member.shared_group else ""
    state = member.state(at)
    ok = state == "counting"
    advice = (
        ""
        if ok
        else "start it again, or read its log: broker or database is away; if it does not come back, "
        f"fleetmeter counters retire {member.client_id}: until then no month closes without it"
    )
    result = f"counter {member.client_id}{group} is {state}, last seen at {member.last_seen_at}"
    yield Finding("counters", ok, result, advice)
    difference = member.clock_difference
    if difference is not None and abs(difference) > settings.clock_tolerance:
        result = f"the clock of {member.host} is {difference:+.1f} s off the database's"
        advice = "set it right (NTP); until then its counter counts by the database's clock"
        yield Finding("clock", False, result, advice)
    if member.approximate:
        yield Finding("exactness", True, f"counter {member.client_id}: {brokers.APPROXIMATE}")


def _unattributed(connection: Connection, settings: Settings, at: datetime) -> Iterator[Finding]:
    rows = connection.execute(text(overview.UNATTRIBUTED), {"at": at}).all()
    if result := ", ".join(f"{messages:,} {reason}" for reason, messages in rows if messages):
        yield Finding(
            "topics",
            True,
            f"not attributed in the last 24 h: {result}",
            f"topics are {settings.mqtt_topic_root}/{{org_id}}/{{project_id}}/{{device_id}}/…; samples "
            "are in unattributed_messages",
        )
    topics = connection.scalars(FORMER_TOPICS, {"reason": FORMER_ORGANIZATION, "at": at}).all()
    if topics:
        yield Finding(
            "topics",
            True,
            f"devices name a former organization of their project: {', '.join(topics)}",
            "their messages count for the project; have the devices use the id of its organization of today",
        )


FORMER_TOPICS = text("""
    SELECT DISTINCT unnest(sample_topics) AS topic FROM unattributed_messages
    WHERE reason = :reason AND hour > CAST(:at AS timestamptz) - interval '24 hours'
    ORDER BY topic LIMIT 5""")


def hourly(connection: Connection, settings: Settings, at: datetime) -> Iterator[Finding]:
    """Why the refresh may not update: no runner, a failing run, a source that is not read."""
    yield _runner(connection)
    yield _last_run(connection, "hourly", at - timedelta(hours=2))
    measured = overview.sources(connection)
    for source in POLLED_SOURCES:
        if not source.is_configured(settings):
            continue
        last = measured[source.name]["last_measured_at"]
        ok = last is not None and at - last < timedelta(hours=2)
        advice = "" if ok else f"run `fleetmeter run hourly` and read what it says of {source.name}"
        yield Finding(f"source {source.name}", ok, f"last measured at {last or 'no time yet'}", advice)
    yield _indexes(connection)


def _indexes(connection: Connection) -> Finding:
    wanting = missing_indexes(connection)
    result = "each counted table has one on created_at"
    if wanting:
        result = f"{len(wanting)} counted tables have none on created_at, and are read whole every hour"
    return Finding("indexes", not wanting, result, "; ".join(wanting))


def _runner(connection: Connection) -> Finding:
    alive = connection.scalar(
        text("""
            SELECT count(*) FROM workers WHERE role = 'runner'
            AND last_seen_at > clock_timestamp() - interval '1 minute'""")
    )
    advice = "" if alive else "start `fleetmeter runner`; until then jobs run only by hand"
    return Finding("runner", bool(alive), f"{alive} alive", advice)


def _last_run(connection: Connection, job: str, since: datetime) -> Finding:
    row = connection.execute(
        text("""
            SELECT id, state, period, coalesce(finished_at, created_at) AS moment,
                errors->0->>'error' AS error
            FROM job_runs WHERE job = :job AND NOT dry_run ORDER BY id DESC LIMIT 1"""),
        {"job": job},
    ).one_or_none()
    if row is None:
        return Finding(f"job {job}", False, "never ran", f"start the runner, or `fleetmeter run {job}`")
    ok = row.state in ("succeeded", "running", "queued") and row.moment > since
    result = f"run {row.id} for {row.period} {row.state} at {row.moment:%Y-%m-%d %H:%M}"
    advice = f"{row.error or 'no newer run'}; retry with `fleetmeter run {job}`"
    return Finding(f"job {job}", ok, result, "" if ok else advice)


def snapshots(connection: Connection, settings: Settings, at: datetime) -> Iterator[Finding]:
    """Whether days are missing."""
    count = overview.missing(connection, at)
    projects = connection.scalar(text("SELECT count(*) FROM projects WHERE is_active"))
    if not projects:
        yield Finding("projects", False, "the platform has no active project", "nothing to meter yet")
    yield Finding(
        "daily snapshots",
        count == 0,
        f"{count} missing in the last 30 days",
        "" if count == 0 else "`fleetmeter missing` lists them, `fleetmeter backfill` repairs them",
    )


def closes(connection: Connection, settings: Settings, at: datetime) -> Iterator[Finding]:
    """Whether a month waits to be closed, and what blocks it."""
    for month, state in overview.months(connection, at, plans.load(settings.plans)).items():
        if state.get("running"):
            continue
        blocked = state["blocked"]
        reason = next(iter(blocked.values()), "")
        result = f"{month} is over and open" + (f", blocked for {len(blocked)} projects" if blocked else "")
        yield Finding("monthly close", False, result, reason or "`fleetmeter run monthly` closes it")
        return
    yield Finding("monthly close", True, "every month that is over is closed")
