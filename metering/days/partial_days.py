"""Sealed days with only a part of the platform's rows: each is a gap until it is recounted.

The gap blocks the close of its month. The recount after the seal covers it; so does an operator who
accepts it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.history import OFF_ON
from metering.catalogue.periods import Day
from metering.catalogue.projects import METERED_UNTIL
from metering.catalogue.sources import SOURCES, SourceName
from metering.days.coverage import INCOMPLETE, unknown_on_day

_OPEN = "g.kind = 'partial_day' AND g.covered_at IS NULL AND g.accepted_at IS NULL"
_DAY_START = "(d.date::timestamp AT TIME ZONE 'UTC')"

# Projects that lack the same hours share a gap.
RECORD = f"""
    INSERT INTO gaps (source, starts_at, ends_at, kind, reason, project_ids)
    SELECT '{{0}}', hours.starts_at, hours.ends_at, 'partial_day', 'the day was sealed with a part of it',
        array_agg(d.project_id ORDER BY d.project_id)
    FROM daily_stats d JOIN {platform.PROJECTS} p ON p.id = d.project_id
    CROSS JOIN LATERAL (
        SELECT min(h.hour) AS starts_at, max(h.hour) + interval '1 hour' AS ends_at
        FROM generate_series(greatest({_DAY_START}, date_trunc('hour', p.created_at, 'UTC')),
            least({_DAY_START} + interval '1 day', {METERED_UNTIL}) - interval '1 hour',
            interval '1 hour') AS h (hour)
        LEFT JOIN usage_hourly u ON u.project_id = d.project_id AND u.hour = h.hour
        WHERE coalesce(CAST(u.measured->>'{{0}}' AS timestamptz), '-infinity') < h.hour + interval '1 hour'
    ) hours
    WHERE d.date BETWEEN :first AND :last AND d.project_id = ANY(:ids) AND {INCOMPLETE.format("d")}
        AND {{unknown}} AND hours.starts_at IS NOT NULL AND NOT {OFF_ON.format(date="d.date")}
        AND NOT EXISTS (SELECT FROM gaps g WHERE g.source = '{{0}}' AND g.kind = 'partial_day'
            AND g.starts_at >= {_DAY_START} AND g.starts_at < {_DAY_START} + interval '1 day'
            AND d.project_id = ANY(g.project_ids))
    GROUP BY hours.starts_at, hours.ends_at ORDER BY hours.starts_at"""

WAITING = text(f"""
    SELECT (g.starts_at AT TIME ZONE 'UTC')::date AS date, array_agg(DISTINCT project.id) AS projects
    FROM gaps g CROSS JOIN LATERAL unnest(g.project_ids) AS project (id)
    JOIN daily_stats d ON d.project_id = project.id AND d.date = (g.starts_at AT TIME ZONE 'UTC')::date
    WHERE g.source = :source AND {_OPEN} AND d.created_at <= :sealed_until
    GROUP BY 1 ORDER BY 1""")

COVER = text(f"""
    UPDATE gaps g SET covered_at = :at
    WHERE g.source = :source AND {_OPEN} AND g.starts_at >= :start AND g.starts_at < :end
        AND g.project_ids <@ CAST(:ids AS bigint[])""")
SHRINK = text(f"""
    UPDATE gaps g SET project_ids = ARRAY(
        SELECT id FROM unnest(g.project_ids) AS project (id) WHERE id <> ALL(:ids) ORDER BY id)
    WHERE g.source = :source AND {_OPEN} AND g.starts_at >= :start AND g.starts_at < :end
        AND g.project_ids && CAST(:ids AS bigint[])""")
OPEN = text(f"""
    INSERT INTO gaps (source, starts_at, ends_at, kind, reason, project_ids)
    SELECT :source, :start, :end, 'partial_day', :reason, ARRAY[CAST(:id AS bigint)]
    WHERE NOT EXISTS (SELECT FROM gaps g WHERE g.source = :source AND {_OPEN}
        AND g.starts_at >= :start AND g.starts_at < :end AND :id = ANY(g.project_ids))""")


def record_partial_days(connection: Connection, first: Day, last: Day, project_ids: Sequence[int]) -> None:
    """Record a gap for each sealed day from `first` to `last` with only a part of its rows."""
    bounds = {"first": first.date, "last": last.date, "ids": list(project_ids)}
    for source in SOURCES:
        if source.measured_by == "hours":
            statement = RECORD.format(source.name, unknown=unknown_on_day(source.name, "d"))
            connection.execute(text(statement), bounds)


def waiting(connection: Connection, source: SourceName, sealed_until: datetime) -> dict[Day, list[int]]:
    """Return the projects whose gaps wait for a recount, by day; of days sealed up to that instant."""
    rows = connection.execute(WAITING, {"source": source, "sealed_until": sealed_until})
    return {Day(row.date): list(row.projects) for row in rows}


def cover(
    connection: Connection, source: SourceName, day: Day, project_ids: Sequence[int], at: datetime
) -> None:
    """End the gaps of `day` for the projects that were recounted."""
    bounds = {"source": source, "start": day.start, "end": day.end, "ids": list(project_ids), "at": at}
    connection.execute(COVER, bounds)
    connection.execute(SHRINK, bounds)


def keep_open(connection: Connection, source: SourceName, day: Day, failures: Mapping[int, object]) -> None:
    """Record a gap of `day` for the projects whose recount failed, unless they have one."""
    for project, failure in failures.items():
        bounds = {"source": source, "start": day.start, "end": day.end}
        reason = f"late rows were not counted: {failure}"
        connection.execute(OPEN, bounds | {"id": project, "reason": reason})
