"""What a broker says it accepted in an hour, beside what was counted; the difference is the drift."""

import json
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from metering.periods import Hour

OURS = text("""
    SELECT (SELECT coalesce(sum(mqtt_inbound + mqtt_outbound), 0)::bigint FROM usage_hourly
            WHERE hour = :hour)
        + (SELECT coalesce(sum(messages), 0)::bigint FROM unattributed_messages WHERE hour = :hour)""")

RECORD = text("""
    INSERT INTO reconciliations AS r (hour, source, theirs, ours, parts, at)
    VALUES (:hour, :source, :theirs, :ours, CAST(:parts AS jsonb), :at)
    ON CONFLICT (hour, source) DO UPDATE SET theirs = excluded.theirs, ours = excluded.ours,
        parts = excluded.parts, at = excluded.at WHERE r.at <= excluded.at""")

LAST = """
    SELECT hour, source, theirs, ours, at,
        round(100.0 * (ours - theirs) / nullif(theirs, 0), 2) AS drift_percent
    FROM reconciliations ORDER BY hour DESC, source LIMIT 1"""


def settled(at: datetime) -> Hour:
    """The last hour that a broker's figures may be taken as final for at `at`."""
    # CloudWatch may still add to an hour for some minutes after its end.
    return Hour.of(at - timedelta(minutes=75))


def compare(
    connection: Connection, hour: Hour, source: str, theirs: int, parts: dict[str, Any], at: datetime
) -> int:
    """Store `theirs` of `hour` beside our count over all projects, which is returned."""
    ours = int(connection.execute(OURS, {"hour": hour.start}).scalar_one())
    row = {"hour": hour.start, "source": source, "theirs": theirs, "ours": ours, "at": at}
    connection.execute(RECORD, row | {"parts": json.dumps(parts)})
    return ours
