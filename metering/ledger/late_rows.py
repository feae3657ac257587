"""Late rows: rows that the platform wrote about a day, or removed, after the day's seal.

Each sealed day is recounted once, a day after its seal, so that the rows of a slow writer are billed
without changing the sealed day (months/late_rows.py posts them). Hours older than the oldest row of a table
were pruned by the platform, which takes back no usage; neither do rows that are missing in that row's
own hour, if older hours are known to have had some.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from metering.catalogue import projects
from metering.catalogue.meters import columns, counters_of
from metering.catalogue.periods import Day, utc
from metering.catalogue.sources import SourceName
from metering.db import audit_log

WAIT = timedelta(hours=24)
ACTOR = "fleetmeter"


@dataclass(frozen=True)
class RecountRange:
    """The days of a recount: those sealed after `after`, up to and including `until`."""

    after: datetime
    until: datetime


class LateRows(NamedTuple):
    """Rows of a project's sealed day found late, of the counter `meter`; negative if rows are gone."""

    project_id: int
    meter: str
    quantity: int


@dataclass(frozen=True)
class TableStart:
    """The hour of the oldest row of a counter's table, and whether there were older rows."""

    hour: datetime
    pruned: bool


def waiting(connection: Connection, source: SourceName, at: datetime) -> RecountRange:
    """Return the seals that are a day old at `at` and younger than those of the last recount."""
    query = text("""
        SELECT coalesce(max(CAST(after->>'sealed_until' AS timestamptz)), '0001-01-01Z')
        FROM audit_log WHERE action = 'recount' AND subject = :source""")
    return RecountRange(connection.execute(query, {"source": source}).scalar_one(), utc(at) - WAIT)


def due(connection: Connection, sealed: RecountRange) -> list[Day]:
    """Return the days to recount, in order."""
    query = text("""
        SELECT DISTINCT date FROM daily_stats
        WHERE created_at > :after AND created_at <= :until ORDER BY date""")
    dates = connection.scalars(query, {"after": sealed.after, "until": sealed.until})
    return [Day(date) for date in dates]


def begins(connection: Connection, counter: str, day: Day, hour: datetime | None) -> TableStart:
    """Return the beginning of a table, as seen from `day`; `hour` of its oldest row is None if empty."""
    if hour is None or not day.start <= hour < day.end:
        return TableStart(hour or day.end, pruned=False)
    older = text(f"""
        SELECT EXISTS (SELECT FROM usage_hourly
            WHERE hour >= CAST(:hour AS timestamptz) - interval '1 day' AND hour < :hour
            AND {counter} > 0)""")
    return TableStart(hour, bool(connection.scalar(older, {"hour": hour})))


def find(
    connection: Connection,
    source: SourceName,
    day: Day,
    project_ids: Sequence[int],
    sealed: RecountRange,
    begins: Mapping[str, TableStart],
) -> list[LateRows]:
    """Return the differences of the staged counts of `day` from its seal, by project and meter.

    Takes the projects' mutexes. A day whose late rows were posted before gives none.
    """
    projects.lock(connection, project_ids)
    names = counters_of(source)
    bounds: dict[str, Any] = {"ids": list(project_ids), "date": day.date}
    bounds |= {"start": day.start, "end": day.end, "after": sealed.after, "until": sealed.until}
    for name, table in begins.items():
        bounds |= {f"oldest_{name}": table.hour, f"pruned_{name}": table.pruned}
    rows = connection.execute(text(_DIFFERENCES.format(**_columns(names))), bounds)
    return [LateRows(row.project_id, row.meter, row.quantity) for row in rows]


def _columns(names: tuple[str, ...]) -> dict[str, str]:
    return {
        "sums": columns("sum({0})::bigint AS {0}", names),
        "pruned": columns(_PRUNED, names),
        "differences": columns("('{0}', coalesce(c.{0}, 0) - (d.{0} - coalesce(h.{0}, 0)))", names),
    }


_PRUNED = """sum(CASE WHEN u.hour < :oldest_{0} THEN u.{0}
    WHEN u.hour = :oldest_{0} AND :pruned_{0} THEN greatest(u.{0} - coalesce(s.{0}, 0), 0)
    END)::bigint AS {0}"""

_DIFFERENCES = """
    SELECT d.project_id, late.meter, late.quantity
    FROM daily_stats d
    LEFT JOIN (SELECT project_id, {sums} FROM staged_counts GROUP BY project_id) c
        ON c.project_id = d.project_id
    LEFT JOIN (SELECT u.project_id, {pruned} FROM usage_hourly u
        LEFT JOIN staged_counts s ON s.project_id = u.project_id AND s.hour = u.hour
        WHERE u.project_id = ANY(:ids) AND u.hour >= :start AND u.hour < :end GROUP BY u.project_id) h
        ON h.project_id = d.project_id
    CROSS JOIN LATERAL (VALUES {differences}) AS late (meter, quantity)
    WHERE d.date = :date AND d.project_id = ANY(:ids)
        AND (late.quantity > 0 OR (late.quantity < 0 AND h.project_id IS NOT NULL))
        AND d.created_at > :after AND d.created_at <= :until
        AND NOT EXISTS (SELECT FROM adjustments a WHERE a.kind = 'late_rows'
            AND a.project_id = d.project_id AND a.usage_date = d.date AND a.meter = late.meter)
    ORDER BY d.project_id, late.meter"""


def finish(
    connection: Connection, source: SourceName, days: Sequence[Day], sealed: RecountRange, at: datetime
) -> None:
    """Record that these days were recounted, so that none of them is recounted again."""
    after = {"days": [str(day) for day in days], "sealed_until": sealed.until.isoformat()}
    audit_log.record(connection, ACTOR, "recount", source, after=after, at=at)
