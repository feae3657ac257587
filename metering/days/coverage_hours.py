"""Tell how well each hour of a project's day was measured, source by source.

States are those of metering.days.coverage: measured, zero, partial, missing, denied, failed, carried,
not_started, not_configured; and `running` in the current hour for a source that was not read yet.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.history import OFF_ON
from metering.catalogue.meters import is_zero
from metering.catalogue.periods import Day
from metering.catalogue.projects import METERED_UNTIL
from metering.catalogue.sources import SOURCE_NAMES, SOURCES, SourceInfo, SourceName
from metering.ledger.failures import failure_state
from metering.ledger.sessions import absent, is_approximate


@dataclass(frozen=True)
class HourCell:
    """One source's part of an hour.

    `detail` has sampled_at, reason, parts, approximate; of a level from an earlier hour `age_hours` at
    the end of this one.
    """

    hour: datetime
    source: SourceName
    state: str
    detail: dict[str, Any]


# A level's last sample before the hour is looked up in the hours of the last month.
_GAUGES = """
    SELECT h.hour, '{0}' AS source, CASE
            WHEN own.at < h.hour THEN 'carried'
            WHEN u.measured ? '{0}' THEN CASE WHEN {zero} THEN 'zero' ELSE 'measured' END
            WHEN u.measured ? '{0}_failed' THEN
                {failure}
            WHEN NOT EXISTS (SELECT FROM project_stats WHERE {0}_measured_at IS NOT NULL)
                THEN 'not_configured'
            WHEN h.ends > :at THEN 'running'
            WHEN last.at IS NOT NULL THEN 'carried' ELSE 'missing' END AS state,
        jsonb_build_object('reason', u.measured->'{0}_failed'->>'reason', 'parts', u.measured->'{0}_parts',
            'sampled_at', coalesce(u.measured->>'{0}', last.at),
            'age_hours', CASE WHEN own.at IS NULL OR own.at < h.hour THEN
                round(extract(epoch FROM least(h.ends, :at)
                - coalesce(own.at, CAST(last.at AS timestamptz))) / 3600, 1) END) AS detail
    FROM hours h LEFT JOIN usage_hourly u ON u.project_id = :project_id AND u.hour = h.hour
    LEFT JOIN LATERAL (SELECT CAST(u.measured->>'{0}' AS timestamptz) AS at) own ON true
    LEFT JOIN LATERAL (SELECT b.measured->>'{0}' AS at FROM usage_hourly b
        WHERE b.project_id = :project_id AND b.hour < h.hour AND b.hour >= h.hour - interval '31 days'
        AND b.measured ? '{0}' ORDER BY b.hour DESC LIMIT 1) last ON true"""

_COUNTERS = """
    SELECT h.hour, '{0}' AS source, CASE
            WHEN CAST(u.measured->>'{0}' AS timestamptz) >= h.ends THEN
                CASE WHEN {zero} THEN 'zero' ELSE 'measured' END
            WHEN u.measured->'{0}_failed'->>'kind' = 'denied' THEN 'denied'
            WHEN u.measured ? '{0}_failed' THEN 'partial'
            WHEN h.ends > :at THEN 'running'
            WHEN u.measured ? '{0}' THEN 'partial'
            WHEN (SELECT {0}_measured_at FROM project_stats WHERE project_id = :project_id) IS NULL
                THEN 'not_started'
            ELSE 'missing' END,
        jsonb_build_object('reason', u.measured->'{0}_failed'->>'reason',
            'sampled_at', u.measured->>'{0}')
    FROM hours h LEFT JOIN usage_hourly u ON u.project_id = :project_id AND u.hour = h.hour"""

_MESSAGES = f"""
    SELECT h.hour, '{{0}}' AS source, CASE
            WHEN NOT EXISTS (SELECT FROM mqtt_sessions WHERE session_started_at < h.ends) THEN 'not_started'
            WHEN blind.reason IS NOT NULL THEN
                CASE WHEN blind.starts_at <= h.hour AND blind.ends_at >= h.ends THEN 'missing'
                    ELSE 'partial' END
            WHEN h.ends > :at THEN 'running'
            WHEN NOT EXISTS (SELECT FROM mqtt_sessions m WHERE m.session_started_at < h.ends
                AND m.last_seen_at >= h.ends - interval '1 minute') THEN 'missing'
            WHEN away.reason IS NOT NULL THEN 'partial'
            WHEN {{zero}} THEN 'zero' ELSE 'measured' END AS state,
        jsonb_build_object('reason', coalesce(blind.reason, CASE WHEN h.ends <= :at THEN away.reason END),
            'approximate', CASE WHEN {is_approximate("h.hour", "h.ends")} THEN true END) AS detail
    FROM hours h LEFT JOIN usage_hourly u ON u.project_id = :project_id AND u.hour = h.hour
    LEFT JOIN LATERAL (
        SELECT string_agg(g.reason, '; ') AS reason, min(g.starts_at) AS starts_at,
            max(coalesce(g.ends_at, 'infinity')) AS ends_at
        FROM fleetmeter_gaps() g WHERE g.source = '{{0}}' AND g.starts_at < h.ends
        AND coalesce(g.ends_at, 'infinity') > h.hour AND g.covered_at IS NULL
        AND (g.project_ids IS NULL OR :project_id = ANY(g.project_ids))) blind ON true
    LEFT JOIN LATERAL (
        SELECT 'a counter was away' AS reason FROM mqtt_sessions m WHERE {absent("m", "h.ends")} LIMIT 1
    ) away ON true"""

_TEMPLATES = {"sessions": _MESSAGES, "hours": _COUNTERS, "samples": _GAUGES}


def _cells(source: SourceInfo) -> str:
    name = source.name
    failure = failure_state(f"u.measured->'{name}_failed'")
    return _TEMPLATES[source.measured_by].format(name, zero=is_zero(name, "u"), failure=failure)


HOURS = text(f"""
    WITH hours AS (
        SELECT hour.hour, hour.hour + interval '1 hour' AS ends
        FROM {platform.PROJECTS} p CROSS JOIN generate_series(
            greatest(CAST(:start AS timestamptz), date_trunc('hour', p.created_at, 'UTC')),
            least(CAST(:end AS timestamptz), {METERED_UNTIL},
                date_trunc('hour', CAST(:at AS timestamptz), 'UTC') + interval '1 hour') - interval '1 hour',
            interval '1 hour') AS hour (hour)
        WHERE p.id = :project_id AND NOT {OFF_ON.format(date="(hour.hour AT TIME ZONE 'UTC')::date")}
    )
    SELECT hour, source, state, jsonb_strip_nulls(detail - 'parts')
        || CASE WHEN coalesce(detail->'parts', 'null') = 'null' THEN '{{}}'
            ELSE jsonb_build_object('parts', detail->'parts') END
    FROM ({" UNION ALL ".join(map(_cells, SOURCES))}) AS cells (hour, source, state, detail)
    ORDER BY hour, array_position(CAST(:sources AS text[]), source)""")


def hours(connection: Connection, project_id: int, day: Day, at: datetime) -> list[HourCell]:
    """Return every source in each hour of `day` in which the project was metered, up to the hour of `at`."""
    parameters = {
        "project_id": project_id,
        "start": day.start,
        "end": day.end,
        "at": at,
        "sources": list(SOURCE_NAMES),
    }
    return [HourCell(*row) for row in connection.execute(HOURS, parameters)]
