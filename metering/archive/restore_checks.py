"""Check a restored month: fit it into the books, and compare it with its seals."""

from sqlalchemy import Connection, text

from metering.catalogue.meters import columns
from metering.catalogue.own_meters import merged_sql
from metering.catalogue.periods import Month
from metering.days.seal import row_hash
from metering.db import audit_log
from metering.errors import RestoreRefused
from metering.months.close import SEAL

# A bill that comes back where hours of its month are still open would count them twice.
STILL_OPEN = text(
    "SELECT min(project_id) FROM project_stats WHERE project_id = ANY(:ids) AND open_from < :end"
)
LIFETIME = text(f"""
    UPDATE project_stats s SET {columns("lifetime_{0} = b.{0}")}, lifetime_meters = b.meters FROM (
        SELECT project_id, {columns("sum({0})::bigint AS {0}")}, {merged_sql()} AS meters FROM monthly_stats
        WHERE project_id = ANY(:ids) GROUP BY project_id) b WHERE b.project_id = s.project_id""")
FOLLOWING = text("""
    SELECT project_id FROM (
        SELECT project_id, previous_seal, year, month, coalesce(
            lag(seal) OVER (PARTITION BY project_id ORDER BY year, month), '') AS expected
        FROM monthly_stats WHERE project_id = ANY(:ids)) b
    WHERE expected <> previous_seal AND (year, month) = (:year, :month) LIMIT 1""")
HOURS_KEPT = text("SELECT EXISTS (SELECT FROM usage_hourly WHERE hour < :end)")
RECOUNTED = text(f"""
    {audit_log.INSERT}
    SELECT now(), 'fleetmeter', 'recount', 'platform_db', NULL::jsonb,
        jsonb_build_object('sealed_until', max(created_at)), NULL
    FROM daily_stats d WHERE d.date >= :first AND d.date <= :last
    HAVING max(created_at) > (SELECT coalesce(max(CAST(after->>'sealed_until' AS timestamptz)), '-infinity')
        FROM audit_log WHERE action = 'recount' AND subject = 'platform_db')""")


def fit_in(connection: Connection, month: Month, ids: list[int]) -> None:
    """Fit restored bills into a database that had lost them. Raises RestoreRefused if they cannot be."""
    bounds = month.bounds() | {"ids": ids}
    open_ = connection.scalar(STILL_OPEN, bounds)
    if open_ is not None:
        raise RestoreRefused(
            f"project {open_} still counts {month}: close it, or restore before anything counts"
        )
    follower = connection.scalar(FOLLOWING, bounds)
    if follower is not None:
        raise RestoreRefused(
            f"{month} of project {follower} follows a month that is not there; restore that first"
        )
    connection.execute(LIFETIME, bounds)
    if not connection.scalar(HOURS_KEPT, bounds):
        after = {"before": str(month.next().first.date), "month": str(month), "projects": len(ids)}
        after |= {"why": "restored without hours"}
        audit_log.record(connection, "fleetmeter", "retention", "usage_hourly", after=after)
    # These days were recounted after their seal; the platform may have pruned their rows since.
    connection.execute(RECOUNTED, bounds)


UNSEALED_DAYS = text(f"""
    SELECT project_id FROM daily_stats d WHERE d.project_id = ANY(:ids) AND d.date >= :first
        AND d.date <= :last AND d.row_hash IS DISTINCT FROM {row_hash("d")} LIMIT 1""")
UNSEALED_BILLS = text(f"""
    SELECT b.project_id FROM monthly_stats b LEFT JOIN (
        SELECT project_id, string_agg(row_hash, E'\\n' ORDER BY date) AS hashes FROM daily_stats
        WHERE date >= :first AND date <= :last GROUP BY project_id) days USING (project_id)
    WHERE (b.year, b.month) = (:year, :month) AND b.project_id = ANY(:ids)
        AND b.seal IS DISTINCT FROM {SEAL} LIMIT 1""")


def refuse_different(connection: Connection, month: Month, ids: list[int]) -> None:
    """Refuse rows that differ from their seals, restored or not."""
    bounds = month.bounds() | {"ids": ids}
    for query in (UNSEALED_DAYS, UNSEALED_BILLS):
        project = connection.scalar(query, bounds)
        if project is not None:
            raise RestoreRefused(
                f"project {project} would not be as it was sealed in {month}: the database holds other rows; "
                "fleetmeter verify says which, and nothing was restored"
            )
