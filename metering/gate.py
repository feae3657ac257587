"""What keeps a month from closing: a counter source that was running, went blind, and still is.

Never configured or not yet started is not a gap, and gauges are carried. A gap blocks until it is
covered or an operator accepts it, and only the projects it concerns.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from metering.periods import Month
from metering.projects import METERED_UNTIL

_UNTIL = f"least(CAST(:end AS timestamptz), {METERED_UNTIL})"

BLOCKED = text(f"""
    SELECT project_id, string_agg(reason, '; ' ORDER BY reason) FROM (
        SELECT p.id AS project_id, format('close %s first', min(to_char(d.date, 'YYYY-MM'))) AS reason
        FROM projects p JOIN daily_stats d ON d.project_id = p.id AND d.date < :first
        WHERE p.id = ANY(:ids) AND d.date >= coalesce((
            SELECT (make_date(m.year, m.month, 1) + interval '1 month')::date FROM monthly_stats m
            WHERE m.project_id = p.id ORDER BY m.year DESC, m.month DESC LIMIT 1), '-infinity')
        GROUP BY p.id
        UNION ALL
        SELECT p.id, format('%s was blind from %s to %s (%s): fleetmeter accept-gap %s, or cover it',
            g.source, to_char(g.starts_at, 'YYYY-MM-DD HH24:MI'),
            coalesce(to_char(g.ends_at, 'YYYY-MM-DD HH24:MI'), 'now'), g.reason, g.id)
        FROM projects p JOIN gaps g ON g.project_ids IS NULL OR p.id = ANY(g.project_ids)
        WHERE p.id = ANY(:ids) AND g.source IN ('mqtt', 'platform_db')
            AND g.covered_at IS NULL AND g.accepted_at IS NULL AND g.starts_at < {_UNTIL}
            AND coalesce(g.ends_at, 'infinity') > greatest(:start, p.created_at)
        UNION ALL
        SELECT p.id, format('platform_db was last read at %s, before the month ended: run hourly',
            to_char(s.platform_db_measured_at, 'YYYY-MM-DD HH24:MI'))
        FROM projects p JOIN project_stats s ON s.project_id = p.id
        WHERE p.id = ANY(:ids) AND s.platform_db_measured_at < {_UNTIL}
        UNION ALL
        SELECT p.id, format('mqtt is silent since %s: start fleetmeter counter',
            (SELECT to_char(max(last_seen_at), 'YYYY-MM-DD HH24:MI') FROM mqtt_sessions))
        FROM projects p
        WHERE p.id = ANY(:ids)
            AND EXISTS (SELECT FROM mqtt_sessions WHERE session_started_at < {_UNTIL})
            AND NOT EXISTS (SELECT FROM mqtt_sessions WHERE last_seen_at >= {_UNTIL})
            AND NOT EXISTS (
                SELECT FROM gaps g WHERE g.source = 'mqtt' AND g.accepted_at IS NOT NULL
                AND g.starts_at <= (SELECT max(last_seen_at) FROM mqtt_sessions)
                AND coalesce(g.ends_at, 'infinity') >= {_UNTIL})
    ) reasons GROUP BY project_id""")


def blocked(connection: Connection, month: Month, project_ids: Sequence[int]) -> dict[int, str]:
    """Why `month` cannot close yet: project id -> reason, for the blocked ones only."""
    rows = connection.execute(
        BLOCKED,
        {
            "ids": list(project_ids),
            "first": month.first.date,
            "start": month.start,
            "end": month.end,
        },
    )
    return {project: reason for project, reason in rows}  # noqa: C416 - typed
