"""Check counter daemons: why counters may not increment."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, text

from fleetmeter import status as overview
from fleetmeter.doctor.finding import Finding
from metering.catalogue import brokers, quantities
from metering.config.settings import Settings
from metering.ledger import sessions
from metering.ledger.mqtt import FORMER_ORGANIZATION


def counters(connection: Connection, settings: Settings, at: datetime) -> Iterator[Finding]:
    """Check for daemons, for one that is away, and for messages that match no project."""
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
    last_seen = quantities.moment(member.last_seen_at) if member.last_seen_at else "never"
    result = f"counter {member.client_id}{group} is {state}, last seen: {last_seen}"
    yield Finding("counters", ok, result, advice)
    difference = member.clock_difference
    if difference is not None and abs(difference) > settings.clock_tolerance:
        result = f"the clock of {member.host} is {difference:+.1f} s off the database's"
        advice = "set it right (NTP); until then its counter counts by the database's clock"
        yield Finding("clock", False, result, advice)
    if member.approximate:
        yield Finding("exactness", True, f"counter {member.client_id}: {brokers.APPROXIMATE}")


REASONS = {
    "organization_mismatch": "the project is another organization's",
    "malformed_topic": "the topic is not in the expected form",
    "unknown_project": "the project is unknown",
}
RISING = text("""
    SELECT coalesce(sum(messages), 0)::bigint FROM unattributed_messages
    WHERE reason <> :former AND updated_at > clock_timestamp() - interval '2 hours'
        AND hour > CAST(:at AS timestamptz) - interval '2 hours'""")


def _unattributed(connection: Connection, settings: Settings, at: datetime) -> Iterator[Finding]:
    rows = connection.execute(text(overview.UNATTRIBUTED), {"at": at}).all()
    named = (f"{messages:,} {REASONS.get(reason, reason)}" for reason, messages in rows if messages)
    if result := ", ".join(named):
        rising = connection.scalar(RISING, {"at": at, "former": FORMER_ORGANIZATION}) or 0
        more = f"; {rising:,} of them in the last 2 hours, and it goes on" if rising else ""
        yield Finding(
            "topics",
            not rising,
            f"not attributed in the last 24 h: {result}{more}",
            f"topics are {settings.mqtt_topic_root}/{{org_id}}/{{project_id}}/{{device_id}}/…; the "
            "Health page and unattributed_messages have samples",
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
