"""How a month stands for each project, one query away: fleetmeter_month_status('2026-10-01')."""

from alembic import op

revision = "m0123456789j"
down_revision = "l0123456789j"
branch_labels = None
depends_on = None

# A function, not a view: a view on the platform's tables would keep the platform from altering them.
STATUS = """
CREATE FUNCTION fleetmeter_month_status(month date, at timestamptz DEFAULT now())
RETURNS TABLE (project_id bigint, organization_id bigint, state text, reason text,
    closed_at timestamptz, closed_by text, days_present smallint, days_expected smallint,
    total_charge numeric, currency text)
LANGUAGE sql STABLE AS $body$
    WITH bounds AS (
        SELECT date_trunc('month', month)::date AS first,
            (date_trunc('month', month) + interval '1 month')::date AS after,
            date_trunc('month', month)::timestamp AT TIME ZONE 'UTC' AS starts,
            (date_trunc('month', month) + interval '1 month')::timestamp AT TIME ZONE 'UTC' AS ends
    ), metered AS (
        SELECT p.id, p.organization_id, p.created_at, CASE WHEN p.is_active THEN timestamptz 'infinity'
            ELSE coalesce(date_trunc('day', p.deactivated_at, 'UTC') + interval '1 day', '-infinity')
            END AS until
        FROM projects p
    )
    SELECT p.id, coalesce(m.organization_id, p.organization_id),
        CASE WHEN m.seal IS NOT NULL THEN 'closed' WHEN why.reason IS NOT NULL THEN 'blocked'
            ELSE 'open' END,
        CASE WHEN m.seal IS NULL THEN coalesce(why.reason, CASE WHEN b.ends > at
            THEN format('runs until %s', b.after) ELSE 'over, not closed yet' END) END,
        m.created_at, m.closed_by, m.days_present, m.days_expected, m.total_charge, m.currency
    FROM bounds b CROSS JOIN metered p
    LEFT JOIN monthly_stats m ON m.project_id = p.id AND m.year = extract(year FROM b.first)
        AND m.month = extract(month FROM b.first)
    LEFT JOIN LATERAL (
        SELECT string_agg(reasons.reason, '; ' ORDER BY reasons.reason) AS reason FROM (
            SELECT format('close %s first', min(to_char(d.date, 'YYYY-MM'))) AS reason
            FROM daily_stats d WHERE d.project_id = p.id AND d.date < b.first AND d.date >= coalesce((
                SELECT (make_date(c.year, c.month, 1) + interval '1 month')::date FROM monthly_stats c
                WHERE c.project_id = p.id ORDER BY c.year DESC, c.month DESC LIMIT 1), '-infinity')
            HAVING count(*) > 0
            UNION ALL
            SELECT format('%s was blind from %s to %s (%s): gap %s', g.source,
                to_char(g.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'),
                coalesce(to_char(g.ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), 'now'),
                g.reason, g.id)
            FROM gaps g WHERE (g.project_ids IS NULL OR p.id = ANY(g.project_ids))
                AND g.source IN ('mqtt', 'platform_db') AND g.covered_at IS NULL
                AND g.accepted_at IS NULL AND g.starts_at < least(b.ends, p.until)
                AND coalesce(g.ends_at, 'infinity') > greatest(b.starts, p.created_at)
        ) reasons
    ) why ON m.seal IS NULL AND b.ends <= at
    WHERE m.seal IS NOT NULL OR (p.created_at < b.ends AND p.until > b.starts AND (
        EXISTS (SELECT FROM daily_stats d WHERE d.project_id = p.id
            AND d.date >= b.first AND d.date < b.after)
        OR EXISTS (SELECT FROM project_stats s WHERE s.project_id = p.id AND s.open_from < b.ends)))
    ORDER BY p.id
$body$
"""


def upgrade() -> None:
    op.execute(STATUS)


def downgrade() -> None:
    op.execute("DROP FUNCTION fleetmeter_month_status")
