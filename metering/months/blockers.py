"""Find what keeps a month from closing: a counter source that was running, went blind, and still is.

A source that is not configured or has not started is no gap, and gauges are carried over. A gap blocks the
projects it concerns until it is covered or an operator accepts it.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.history import OWNER_OF_PERIOD, TIER_AT
from metering.catalogue.periods import Month
from metering.catalogue.projects import METERED_UNTIL
from metering.days.partial_days import record_partial_days
from metering.db.transactions import advisory_lock
from metering.errors import PlanError
from metering.pricing.month_versions import in_month
from metering.pricing.plans import Plans

_UNTIL = f"least(CAST(:end AS timestamptz), {METERED_UNTIL})"
SILENT = "silent"  # the kind of gap that ends by itself when its source is read again

COVER = text(f"""
    UPDATE gaps g SET covered_at = :at
    WHERE g.kind = '{SILENT}' AND g.covered_at IS NULL AND g.accepted_at IS NULL AND CASE g.source
        WHEN 'mqtt' THEN EXISTS (SELECT FROM mqtt_sessions m
            WHERE m.client_id = coalesce(g.client_id, m.client_id)
            AND m.session_started_at <= g.starts_at AND m.last_seen_at >= g.ends_at)
        ELSE NOT EXISTS (SELECT FROM project_stats s JOIN {platform.PROJECTS} p ON p.id = s.project_id
            WHERE s.project_id = ANY(g.project_ids)
            AND s.platform_db_measured_at < least(g.ends_at, {METERED_UNTIL})) END""")

# The broker keeps a counter's session while its daemon is away, so the messages are late, not lost. Each
# member of a shared group has its own share of them: one that is away is missed, even if others count.
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
    FROM {platform.PROJECTS} p JOIN project_stats s ON s.project_id = p.id
    WHERE p.id = ANY(:ids) AND s.platform_db_measured_at < {_UNTIL} AND NOT EXISTS (
        SELECT FROM gaps g WHERE (g.source, g.kind, g.ends_at) = ('platform_db', '{SILENT}', :end)
        AND p.id = ANY(g.project_ids))
    GROUP BY 2""")

BLOCKED = text("""
    SELECT project_id, reason FROM fleetmeter_month_status(:first, :end, :ids) WHERE state = 'blocked'""")

# The tiers that rate a month: the one at its end, with proration those of its days.
TIERS = text(f"""
    SELECT p.id, {TIER_AT.format(end=":end")} AS tier, CAST(:last AS date) AS day
    FROM {platform.PROJECTS} p {OWNER_OF_PERIOD.format(end=":end")}
    WHERE NOT :prorate AND p.id = ANY(:ids)
    UNION ALL SELECT project_id, tier, date FROM daily_stats
    WHERE :prorate AND project_id = ANY(:ids) AND date BETWEEN :first AND :last ORDER BY 1, 3""")


def update_gaps(connection: Connection, month: Month, project_ids: Sequence[int], at: datetime) -> None:
    """Cover the gaps whose source was read again; record sources that are blind at the month's end."""
    advisory_lock(connection, "gaps")
    connection.execute(COVER, {"at": at})
    connection.execute(MQTT_SILENT, month.bounds())
    connection.execute(PLATFORM_SILENT, month.bounds() | {"ids": list(project_ids)})
    record_partial_days(connection, month.first, month.last, project_ids)


def blocked(connection: Connection, month: Month, project_ids: Sequence[int]) -> dict[int, str]:
    """Return the projects whose `month` cannot close yet: project id -> reason."""
    rows = connection.execute(BLOCKED, month.bounds() | {"ids": list(project_ids)})
    return {row.project_id: row.reason for row in rows}


def unpriced(
    connection: Connection, month: Month, project_ids: Sequence[int], plans: Plans
) -> dict[int, str]:
    """Return the projects with a tier in `month` that is in no plan of it: project id -> reason."""
    versions = in_month(plans, month)
    parameters = month.bounds() | {"prorate": versions.last.prorate, "ids": list(project_ids)}
    reasons: dict[int, str] = {}
    for project, tier, day in connection.execute(TIERS, parameters):
        try:
            versions.on(day).tier(tier)
        except PlanError as error:
            reasons[project] = str(error)
    return reasons
