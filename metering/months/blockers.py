"""What keeps a month from closing: a counter source that was running, went blind, and still is.

Never configured or not yet started is not a gap, and gauges are carried. A gap blocks until it is
covered or an operator accepts it, and only the projects it concerns.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from metering.catalogue.periods import Month
from metering.catalogue.projects import METERED_UNTIL
from metering.catalogue.sources import COUNTER_SOURCES, quoted
from metering.db.transactions import advisory_lock
from metering.errors import PlanError
from metering.pricing.plans import Plans

_UNTIL = f"least(CAST(:end AS timestamptz), {METERED_UNTIL})"
SILENT = "silent"  # the kind of gap that ends by itself when its source is read again

COVER = text(f"""
    UPDATE gaps g SET covered_at = :at
    WHERE g.kind = '{SILENT}' AND g.covered_at IS NULL AND g.accepted_at IS NULL AND CASE g.source
        WHEN 'mqtt' THEN EXISTS (SELECT FROM mqtt_sessions m
            WHERE m.client_id = coalesce(g.client_id, m.client_id)
            AND m.session_started_at <= g.starts_at AND m.last_seen_at >= g.ends_at)
        ELSE NOT EXISTS (SELECT FROM project_stats s JOIN projects p ON p.id = s.project_id
            WHERE s.project_id = ANY(g.project_ids)
            AND s.platform_db_measured_at < least(g.ends_at, {METERED_UNTIL})) END""")

# The broker keeps a counter's session while its daemon is away, so the messages are late, not lost. Each
# member of a shared group has its own share of them: one that is away is missed, whoever else counts.
MQTT_SILENT = text(f"""
    INSERT INTO gaps (source, starts_at, ends_at, kind, client_id, reason)
    SELECT 'mqtt', greatest(coalesce(m.last_seen_at, m.session_started_at), :start), :end, '{SILENT}',
        m.client_id, 'not read since'
    FROM mqtt_sessions m
    WHERE m.session_started_at < :end AND m.retired_at IS NULL
        AND coalesce(m.last_seen_at, m.session_started_at) < :end AND NOT EXISTS (
            SELECT FROM gaps g WHERE (g.source, g.kind, g.ends_at) = ('mqtt', '{SILENT}', :end)
            AND coalesce(g.client_id, m.client_id) = m.client_id)""")

PLATFORM_SILENT = text(f"""
    INSERT INTO gaps (source, starts_at, ends_at, kind, reason, project_ids)
    SELECT 'platform_db', greatest(s.platform_db_measured_at, :start), :end, '{SILENT}', 'not read since',
        array_agg(p.id)
    FROM projects p JOIN project_stats s ON s.project_id = p.id
    WHERE p.id = ANY(:ids) AND s.platform_db_measured_at < {_UNTIL} AND NOT EXISTS (
        SELECT FROM gaps g WHERE (g.source, g.kind, g.ends_at) = ('platform_db', '{SILENT}', :end)
        AND p.id = ANY(g.project_ids))
    GROUP BY 2""")

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
            coalesce(to_char(g.ends_at, 'YYYY-MM-DD HH24:MI'), 'now'),
            concat_ws(' by counter ', g.reason, g.client_id), g.id)
        FROM projects p JOIN gaps g ON g.project_ids IS NULL OR p.id = ANY(g.project_ids)
        WHERE p.id = ANY(:ids) AND g.source IN {quoted(COUNTER_SOURCES)}
            AND g.covered_at IS NULL AND g.accepted_at IS NULL AND g.starts_at < {_UNTIL}
            AND coalesce(g.ends_at, 'infinity') > greatest(:start, p.created_at)
    ) reasons GROUP BY project_id""")


TIERS = text("""
    SELECT DISTINCT p.id, d.tier FROM unnest(CAST(:ids AS bigint[])) AS p (id)
    JOIN LATERAL (
        SELECT tier FROM daily_stats WHERE project_id = p.id AND date BETWEEN :first AND :last
        ORDER BY date DESC LIMIT CASE WHEN :all THEN 31 ELSE 1 END) d ON true ORDER BY 1, 2""")


def settle(connection: Connection, month: Month, project_ids: Sequence[int], at: datetime) -> None:
    """Cover the gaps whose source has been read again, and record those that are blind at the end."""
    advisory_lock(connection, "gaps")
    connection.execute(COVER, {"at": at})
    connection.execute(MQTT_SILENT, month.bounds())
    connection.execute(PLATFORM_SILENT, month.bounds() | {"ids": list(project_ids)})


def blocked(connection: Connection, month: Month, project_ids: Sequence[int]) -> dict[int, str]:
    """Why `month` cannot close yet: project id -> reason, for the blocked ones only."""
    rows = connection.execute(BLOCKED, month.bounds() | {"ids": list(project_ids)})
    return {project: reason for project, reason in rows}  # noqa: C416 - typed


def unpriced(
    connection: Connection, month: Month, project_ids: Sequence[int], plans: Plans
) -> dict[int, str]:
    """Projects whose tier in `month`'s sealed days is in no plan of it: project id -> reason."""
    version = plans.in_force(month.last.date)
    parameters = month.bounds() | {"all": version.prorate, "ids": list(project_ids)}
    found = {}
    for project, tier in connection.execute(TIERS, parameters):
        try:
            version.tier(tier)
        except PlanError as error:
            found[project] = str(error)
    return found
