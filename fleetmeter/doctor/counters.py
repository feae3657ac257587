"""Check counter daemons: why counters may not increment."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, text

from fleetmeter import status as overview
from fleetmeter.doctor.finding import Finding
from metering.catalogue import brokers
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
