"""What a broker says it accepted, beside what was counted; the difference is the drift.

AWS IoT says it by hour. Another broker has one counter since it started: it is read now and then with
all that was counted until that moment, and two readings are compared unless it restarted in between.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from metering.catalogue.meters import messages_sql
from metering.catalogue.periods import Hour

CLOUDWATCH, BROKER = "cloudwatch", "broker"
LATE = timedelta(hours=2)  # what AWS may still add to an hour that was compared already
FURTHEST = timedelta(hours=24)  # how far back an outage is caught up with
SLACK = timedelta(seconds=5)  # a broker's uptime is in whole seconds, and some seconds old
KEPT = timedelta(days=8)
# After its beginning: CloudWatch may still add to an hour for some minutes after its end.
SETTLES = timedelta(minutes=75)

OURS = text(f"""
    SELECT (SELECT coalesce(sum({messages_sql()}), 0)::bigint FROM usage_hourly
            WHERE hour = :hour)
        + (SELECT coalesce(sum(messages), 0)::bigint FROM unattributed_messages WHERE hour = :hour)""")

EVER_COUNTED = text(f"""
    SELECT (SELECT coalesce(sum({messages_sql()} + {messages_sql("lifetime_")}), 0)::bigint
        FROM project_stats)
        + (SELECT coalesce(sum(messages), 0)::bigint FROM unattributed_messages)""")

RECORD = text("""
    INSERT INTO reconciliations AS r (hour, source, theirs, ours, parts, at)
    VALUES (:hour, :source, :theirs, :ours, CAST(:parts AS jsonb), :at)
    ON CONFLICT (hour, source) DO UPDATE SET theirs = excluded.theirs, ours = excluded.ours,
        parts = excluded.parts, at = excluded.at WHERE r.at <= excluded.at""")

LAST = """
    SELECT DISTINCT ON (source) hour, source, theirs, ours, at,
        round(100.0 * (ours - theirs) / nullif(theirs, 0), 2) AS drift_percent,
        (parts->>'restarts')::int AS broker_restarts
    FROM reconciliations ORDER BY source, hour DESC"""

# Counting began within the first of these hours, or before; what AWS saw until then is no drift.
SINCE = text("""
    SELECT (SELECT max(hour) FROM reconciliations WHERE source = :source AND theirs IS NOT NULL),
        (SELECT min(session_started_at) FROM mqtt_sessions)""")

SAMPLES = text("""
    SELECT at, received, uptime_seconds, counted FROM broker_samples
    WHERE broker = :broker AND at >= coalesce(
        (SELECT max(at) FROM broker_samples WHERE broker = :broker AND at < :hour), '-infinity')
    ORDER BY at""")

# Up to when every daemon that is connected has counted; NULL when none is.
COUNTED_TO = text("SELECT min(last_seen_at) FROM mqtt_sessions WHERE connected")


class Sample(NamedTuple):
    """A broker's counter since `uptime_seconds`, and how many messages were ever counted, at `at`."""

    at: datetime
    received: int
    uptime_seconds: int
    counted: int


def settled(at: datetime) -> Hour:
    """The last hour that a broker's figures may be taken as final for at `at`."""
    return Hour.of(at - SETTLES)


def waiting(connection: Connection, source: str, at: datetime) -> list[Hour]:
    """The hours to compare by `at`, in order: those that are settled and new, and the last few again."""
    last = settled(at)
    compared, began = connection.execute(SINCE, {"source": source}).one()
    first = last.start - LATE
    if compared is not None:
        first = min(first, compared + timedelta(hours=1))
    elif began is not None:
        first = min(last.start, began + timedelta(minutes=59, seconds=59))
    first = max(first, last.start - FURTHEST)
    span = (last.start - Hour.of(first).start) // timedelta(hours=1)
    return [Hour.of(last.start - timedelta(hours=back)) for back in range(span, -1, -1)]


def ours(connection: Connection, hour: Hour) -> int:
    """Messages counted in `hour` over all projects, and of none."""
    return int(connection.execute(OURS, {"hour": hour.start}).scalar_one())


def record(
    connection: Connection,
    hour: Hour,
    source: str,
    counts: tuple[int | None, int],
    parts: dict[str, Any],
    at: datetime,
) -> None:
    """Store `counts`, theirs and ours, of `hour`; a later look at the same hour takes its place."""
    row = {"hour": hour.start, "source": source, "theirs": counts[0], "ours": counts[1], "at": at}
    connection.execute(RECORD, row | {"parts": json.dumps(parts, default=str)})


def counted_to(connection: Connection) -> datetime | None:
    """Up to when everything is counted; None when no daemon is connected."""
    found: datetime | None = connection.scalar(COUNTED_TO)
    return found


def compare_broker(
    connection: Connection, broker: str, at: datetime, received: int, uptime_seconds: int
) -> dict[str, Any]:
    """Store what `broker` says at `at`, and compare it with the hour's beginning; returns what came out."""
    counted = int(connection.execute(EVER_COUNTED).scalar_one())
    row = {"broker": broker, "at": at, "received": received, "uptime": uptime_seconds, "counted": counted}
    connection.execute(
        text("""
            INSERT INTO broker_samples VALUES (:broker, :at, :received, :uptime, :counted)
            ON CONFLICT DO NOTHING"""),
        row,
    )
    connection.execute(text("DELETE FROM broker_samples WHERE at < :at"), {"at": at - KEPT})
    hour = Hour.of(at)
    found = connection.execute(SAMPLES, {"broker": broker, "hour": hour.start})
    samples = [Sample(*sample) for sample in found]
    if len(samples) == 1:
        return {"broker": broker, "first_look": True}
    theirs, our, restarts = _between(samples)
    parts = {"broker": broker, "from": samples[0].at, "to": samples[-1].at, "restarts": restarts}
    record(connection, hour, BROKER, (theirs, our), parts, at)
    return {"broker": broker, "theirs": theirs, "ours": our, "restarts": restarts}


def _between(samples: Sequence[Sample]) -> tuple[int | None, int, int]:
    """Theirs, ours and restarts; a stretch in which the broker restarted is in neither count."""
    whole = [(one, other) for one, other in pairwise(samples) if not _restarted(one, other)]
    theirs = sum(other.received - one.received for one, other in whole) if whole else None
    our = sum(other.counted - one.counted for one, other in whole)
    return theirs, our, len(samples) - 1 - len(whole)


def _restarted(one: Sample, other: Sample) -> bool:
    up = timedelta(seconds=other.uptime_seconds)
    return other.received < one.received or up < other.at - one.at - SLACK
