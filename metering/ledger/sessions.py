"""The sessions of counter daemons: which are read, which are away, and the gaps of those that lost messages.

A daemon alone has one session; each member of a shared group has its own. The broker keeps messages for a
session while its daemon is away, so they are late, not lost, until the session is retired.
"""

import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, text

from metering.db import audit_log
from metering.errors import UnknownCounter

AWAY_AFTER = timedelta(minutes=2)  # a daemon that reads says so every few seconds, and a restart takes some
SILENT, SESSION_LOST, TAKEN_OVER, RETIRED = "silent", "session_lost", "taken_over", "retired"


def absent(session: str, until: str) -> str:
    """Return SQL that is true if a counter's session was not read until `until`, and is still expected to be.

    `session` names a row of mqtt_sessions. Every member of a shared group has a share of the messages, so
    one that is away leaves a hole, even if the others have read all theirs.
    """
    return f"""({session}.session_started_at < {until} AND {session}.retired_at IS NULL
        AND coalesce({session}.last_seen_at, {session}.session_started_at) < {until} - interval '1 minute')"""


def is_approximate(starts: str, ends: str) -> str:
    """Return SQL that is true if messages of the period came from a broker that cannot be counted exactly."""
    return f"""EXISTS (SELECT FROM mqtt_sessions a WHERE a.approximate AND a.session_started_at < {ends}
        AND coalesce(a.retired_at, 'infinity') > {starts})"""


OPEN_GAP = text("""
    INSERT INTO gaps (source, kind, client_id, starts_at, ends_at, reason)
    VALUES ('mqtt', :kind, :client, :starts_at, :ends_at, :reason)""")

MEMBERS = text("""
    SELECT m.client_id, m.shared_group, m.broker, m.approximate, m.connected, m.session_started_at,
        m.last_seen_at, m.retired_at, w.host,
        CAST(w.figures->>'clock_difference_seconds' AS double precision) AS clock_difference
    FROM mqtt_sessions m LEFT JOIN workers w ON w.name = 'counter ' || m.client_id
    WHERE m.session_started_at IS NOT NULL ORDER BY m.client_id""")


class Member(NamedTuple):
    """A counter's session. `clock_difference`: seconds by which its host's clock is ahead."""

    client_id: str
    shared_group: str | None
    broker: str | None
    approximate: bool
    connected: bool
    session_started_at: datetime
    last_seen_at: datetime | None
    retired_at: datetime | None
    host: str | None
    clock_difference: float | None

    def state(self, at: datetime) -> str:
        """Return counting, away or retired, as of `at`."""
        if self.retired_at is not None:
            return "retired"
        fresh = self.last_seen_at is not None and at - self.last_seen_at < AWAY_AFTER
        return "counting" if fresh and self.connected else "away"


def members(connection: Connection) -> list[Member]:
    """Return every session that a counter has ever had, by client id."""
    return [Member(*row) for row in connection.execute(MEMBERS)]


def open_session_lost(connection: Connection, client_id: str, starts_at: datetime, ends_at: datetime) -> None:
    """Record that the broker has lost a session, and with it the messages of that time."""
    _open(connection, SESSION_LOST, client_id, starts_at, ends_at, "the broker lost the session")


def open_takeover(connection: Connection, client_id: str, starts_at: datetime) -> None:
    """Record that another client receives this session's messages, since `starts_at`; once at a time."""
    running = text("SELECT 1 FROM gaps WHERE (kind, client_id) = (:kind, :client) AND ends_at IS NULL")
    if connection.scalar(running, {"kind": TAKEN_OVER, "client": client_id}) is None:
        reason = "another client used the client id of a counter and received its messages"
        _open(connection, TAKEN_OVER, client_id, starts_at, None, reason)


def close_takeover(connection: Connection, client_id: str, at: datetime) -> None:
    """End a running gap of that kind: the session has been undisturbed for a while."""
    connection.execute(
        text("""
            UPDATE gaps SET ends_at = :at
            WHERE (kind, client_id) = (:kind, :client) AND ends_at IS NULL"""),
        {"kind": TAKEN_OVER, "client": client_id, "at": at},
    )


def retire(connection: Connection, client_id: str, reason: str, actor: str, at: datetime) -> None:
    """Give a session up: do not wait for its messages at the broker any more.

    The time since it was last read becomes a gap that `actor` accepts with `reason`. Raises UnknownCounter
    if there is no such session, it is retired already, or it is being read.
    """
    if not reason.strip():
        raise UnknownCounter(f"retiring {client_id} needs a reason; say why its messages may be left out")
    member = require(connection, client_id)
    if member.state(at) == "counting":
        raise UnknownCounter(f"counter {client_id} is counting; stop it first")
    since = member.last_seen_at or member.session_started_at
    if since < at:
        _open(connection, RETIRED, client_id, since, at, "the counter was retired")
    values = {"client": client_id, "at": at, "actor": actor, "reason": reason}
    connection.execute(
        text("""
            UPDATE gaps SET accepted_at = :at, accepted_by = :actor, accepted_reason = :reason
            WHERE client_id = :client AND kind IN ('silent', 'retired')
                AND covered_at IS NULL AND accepted_at IS NULL"""),
        values,
    )
    mark_retired(connection, client_id, reason, actor, at)


def mark_retired(
    connection: Connection,
    client_id: str,
    reason: str,
    actor: str,
    at: datetime,
    successor: str | None = None,
) -> None:
    """Note that a session is not read any more, in `audit_log` too.

    Where it was the installation's own, counters go on under `successor`, or under a new client id.
    """
    values = {"client": client_id, "at": at, "actor": actor, "reason": reason}
    row = text("SELECT to_jsonb(m) FROM mqtt_sessions m WHERE client_id = :client FOR UPDATE")
    before = connection.scalar(row, {"client": client_id})
    after = connection.scalar(
        text("""
            UPDATE mqtt_sessions m SET retired_at = :at, retired_by = :actor, retired_reason = :reason,
                connected = false, epoch = epoch + 1
            WHERE client_id = :client RETURNING to_jsonb(m)"""),
        values,
    )
    audit_log.record(connection, actor, "retire-counter", f"counter {client_id}", before, after, reason, at)
    connection.execute(
        text("UPDATE installation SET client_id = :new WHERE client_id = :client"),
        {"new": successor or new_client_id(), "client": client_id},
    )


def new_client_id() -> str:
    """Return a client id of 23 characters, which every broker takes, with 48 random bits."""
    return f"fleetmeter-{secrets.token_hex(6)}"


def move(connection: Connection, old_id: str, new_id: str, actor: str, at: datetime) -> None:
    """Record that a drained session goes on under another client id, from a new session there."""
    connection.execute(
        text("""
            INSERT INTO mqtt_sessions (client_id, session_started_at, last_seen_at, broker, shared_group,
                approximate)
            SELECT :new, :at, :at, broker, shared_group, approximate FROM mqtt_sessions WHERE client_id = :old
            ON CONFLICT (client_id) DO UPDATE SET session_started_at = :at, last_seen_at = :at,
                last_packet_id = NULL, epoch = mqtt_sessions.epoch + 1, retired_at = NULL, retired_by = NULL,
                retired_reason = NULL"""),
        {"new": new_id, "old": old_id, "at": at},
    )
    mark_retired(connection, old_id, f"moved to {new_id}", actor, at, successor=new_id)


def require(connection: Connection, client_id: str) -> Member:
    """Return a session that is not retired. Raises UnknownCounter."""
    member = next((member for member in members(connection) if member.client_id == client_id), None)
    if member is None:
        raise UnknownCounter(f"there is no counter {client_id}; fleetmeter counters lists them")
    if member.retired_at is not None:
        raise UnknownCounter(f"counter {client_id} is retired since {member.retired_at:%Y-%m-%d %H:%M} UTC")
    return member


def _open(
    connection: Connection,
    kind: str,
    client_id: str,
    starts_at: datetime,
    ends_at: datetime | None,
    reason: str,
) -> None:
    connection.execute(
        OPEN_GAP,
        {"kind": kind, "client": client_id, "starts_at": starts_at, "ends_at": ends_at, "reason": reason},
    )
