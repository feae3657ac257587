"""Compare a broker's own count with ours; the difference is the drift.

AWS IoT counts by hour. Any other broker has one counter since it started: it is read now and then,
together with everything counted until that moment, and two readings are compared unless the broker
restarted in between.
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
COMPARED_AGAIN = timedelta(hours=2)  # AWS may still add to an hour that was compared already
MAX_CATCH_UP = timedelta(hours=24)  # how far back hours are compared after an outage
UPTIME_SLACK = timedelta(seconds=5)  # a broker's uptime is in whole seconds, and some seconds old
KEEP_SAMPLES = timedelta(days=8)
# After an hour's beginning: CloudWatch may still add to an hour for some minutes after its end.
COMPLETE_AFTER = timedelta(minutes=75)

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

# When counting began: what AWS accepted before is no drift.
SINCE = text("""
    SELECT (SELECT max(hour) FROM reconciliations WHERE source = :source AND theirs IS NOT NULL),
        (SELECT min(session_started_at) FROM mqtt_sessions)""")

SAMPLES = text("""
    SELECT at, received, uptime_seconds, counted FROM broker_samples
    WHERE broker = :broker AND at >= coalesce(
        (SELECT max(at) FROM broker_samples WHERE broker = :broker AND at < :hour), '-infinity')
    ORDER BY at""")

# The instant up to which every connected daemon has counted; NULL without a connected daemon.
COUNTED_TO = text("SELECT min(last_seen_at) FROM mqtt_sessions WHERE connected")


class Sample(NamedTuple):
    """A reading at `at`: the broker's counter since it started, and the messages we ever counted."""

    at: datetime
    received: int
    uptime_seconds: int
    counted_messages: int


def last_complete_hour(at: datetime) -> Hour:
    """Return the last hour for which a broker's figures are final at `at`."""
    return Hour.of(at - COMPLETE_AFTER)


def hours_to_compare(connection: Connection, source: str, at: datetime) -> list[Hour]:
    """Return the hours to compare at `at`, in order: complete new ones, and the last few again."""
    last = last_complete_hour(at)
    compared, started = connection.execute(SINCE, {"source": source}).one()
    first = last.start - COMPARED_AGAIN
    if compared is not None:
        first = min(first, compared + timedelta(hours=1))
    elif started is not None:
        first = min(last.start, started + timedelta(minutes=59, seconds=59))
    first = max(first, last.start - MAX_CATCH_UP)
    span = (last.start - Hour.of(first).start) // timedelta(hours=1)
    return [Hour.of(last.start - timedelta(hours=back)) for back in range(span, -1, -1)]


def count_ours(connection: Connection, hour: Hour) -> int:
    """Return the messages counted in `hour`, of every project and of none."""
    return int(connection.execute(OURS, {"hour": hour.start}).scalar_one())


def record(
    connection: Connection,
    hour: Hour,
    source: str,
    counts: tuple[int | None, int],
    parts: dict[str, Any],
    at: datetime,
) -> None:
    """Record `counts` of `hour`, theirs (None if unknown) and ours, in place of an earlier comparison."""
    row = {"hour": hour.start, "source": source, "theirs": counts[0], "ours": counts[1], "at": at}
    connection.execute(RECORD, row | {"parts": json.dumps(parts, default=str)})


def counted_to(connection: Connection) -> datetime | None:
    """Return the instant up to which everything is counted; None when no daemon is connected."""
    instant: datetime | None = connection.scalar(COUNTED_TO)
    return instant


def compare_broker(
    connection: Connection, broker: str, at: datetime, received: int, uptime_seconds: int
) -> dict[str, Any]:
    """Store the count of `broker` at `at`, and compare it with the one before the hour; return both."""
    counted_messages = int(connection.execute(EVER_COUNTED).scalar_one())
    row = {
        "broker": broker,
        "at": at,
        "received": received,
        "uptime": uptime_seconds,
        "counted": counted_messages,
    }
    connection.execute(
        text("""
            INSERT INTO broker_samples VALUES (:broker, :at, :received, :uptime, :counted)
            ON CONFLICT DO NOTHING"""),
        row,
    )
    connection.execute(text("DELETE FROM broker_samples WHERE at < :at"), {"at": at - KEEP_SAMPLES})
    hour = Hour.of(at)
    rows = connection.execute(SAMPLES, {"broker": broker, "hour": hour.start})
    samples = [Sample(*row) for row in rows]
    if len(samples) == 1:
        return {"broker": broker, "first_look": True}
    theirs, our, restarts = _between(samples)
    parts = {"broker": broker, "from": samples[0].at, "to": samples[-1].at, "restarts": restarts}
    record(connection, hour, BROKER, (theirs, our), parts, at)
    return {"broker": broker, "theirs": theirs, "ours": our, "restarts": restarts}


def _between(samples: Sequence[Sample]) -> tuple[int | None, int, int]:
    """Return theirs, ours and restarts; a span with a restart of the broker is in neither count."""
    spans = [(earlier, later) for earlier, later in pairwise(samples) if not _has_restarted(earlier, later)]
    theirs = sum(later.received - earlier.received for earlier, later in spans) if spans else None
    our = sum(later.counted_messages - earlier.counted_messages for earlier, later in spans)
    return theirs, our, len(samples) - 1 - len(spans)


def _has_restarted(earlier: Sample, later: Sample) -> bool:
    uptime = timedelta(seconds=later.uptime_seconds)
    return later.received < earlier.received or uptime < later.at - earlier.at - UPTIME_SLACK
