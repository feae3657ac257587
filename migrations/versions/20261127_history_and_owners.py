"""Keep a bill's owners and late readings, the history to bill, and tell how each project's month stands.

`history_to_bill` has the months before the installation that were asked to be billed. All others are
history: their hours leave the running totals here. fleetmeter_month_status('2026-10-01') lists every
project with usage in a month, or expected in it: closed, open, blocked with the reasons, or history.
"""

from alembic import op

revision = "u6789012345q"
down_revision = "t5678901234p"
branch_labels = None
depends_on = None

COUNTERS = (
    *("logs", "sessions", "mqtt_inbound", "mqtt_outbound", "mqtt_inbound_bytes", "mqtt_outbound_bytes"),
    *("api_calls", "deployments", "docker_upload_bytes", "docker_download_bytes", "data_transfer_bytes"),
)
INSTALLED_MONTH = "(SELECT date_trunc('month', min(at), 'UTC') FROM audit_log WHERE action = 'install')"

TABLES = """
ALTER TABLE monthly_stats ADD COLUMN owners JSONB DEFAULT '[]' NOT NULL;
ALTER TABLE monthly_stats ADD COLUMN later_readings JSONB DEFAULT '[]' NOT NULL;
CREATE TABLE history_to_bill (
    project_id BIGINT NOT NULL,
    month DATE NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT history_to_bill_pkey PRIMARY KEY (project_id, month),
    CONSTRAINT history_to_bill_project_id_fkey FOREIGN KEY(project_id) REFERENCES projects (id)
);
"""

OF_HISTORY = f"""
    FROM (SELECT u.project_id, {", ".join(f"sum(u.{name}) AS {name}" for name in COUNTERS)}
        FROM usage_hourly u WHERE u.hour < {INSTALLED_MONTH} AND NOT EXISTS (
            SELECT FROM monthly_stats m WHERE m.project_id = u.project_id
            AND (m.year, m.month) = (extract(year FROM u.hour AT TIME ZONE 'UTC'),
                extract(month FROM u.hour AT TIME ZONE 'UTC')))
            AND NOT EXISTS (SELECT FROM history_to_bill b WHERE b.project_id = u.project_id
                AND b.month = date_trunc('month', u.hour AT TIME ZONE 'UTC')::date)
        GROUP BY u.project_id) h
    WHERE s.project_id = h.project_id"""


def moved(sign: str) -> str:
    sums = ", ".join(f"{name} = s.{name} {sign} h.{name}" for name in COUNTERS)
    return f"UPDATE project_stats s SET {sums} {OF_HISTORY}"


# A function, not a view: a view on the platform's tables would keep the platform from altering them.
STATUS = f"""
CREATE FUNCTION fleetmeter_month_status(month date, at timestamptz DEFAULT now(),
    only_projects bigint[] DEFAULT NULL)
RETURNS TABLE (project_id bigint, organization_id bigint, state text, reason text,
    closed_at timestamptz, closed_by text, days_present smallint, days_expected smallint,
    total_charge numeric, currency text, owners jsonb, later_readings jsonb)
LANGUAGE sql STABLE AS $body$
    WITH bounds AS MATERIALIZED (
        SELECT first, after, first::timestamp AT TIME ZONE 'UTC' AS starts,
            after::timestamp AT TIME ZONE 'UTC' AS ends,
            coalesce(({INSTALLED_MONTH} AT TIME ZONE 'UTC')::date, '-infinity') AS installed
        FROM (SELECT date_trunc('month', month)::date AS first,
            (date_trunc('month', month) + interval '1 month')::date AS after) m
    ), last_close AS MATERIALIZED (
        SELECT result->'blocked' AS blocked, errors FROM job_runs WHERE job = 'monthly' AND NOT dry_run
            AND job_runs.state IN ('succeeded', 'failed', 'dead') ORDER BY id DESC LIMIT 1
    ), left_out AS MATERIALIZED (
        SELECT CAST(e->>'project_id' AS bigint) AS id, min(e->>'error') AS reason
        FROM last_close CROSS JOIN LATERAL jsonb_array_elements(errors) e
        WHERE e->>'project_id' IS NOT NULL GROUP BY 1
        UNION ALL
        SELECT CAST(split_part(b.key, ' in ', 1) AS bigint), b.value
        FROM last_close CROSS JOIN LATERAL jsonb_each_text(blocked) b, bounds
        WHERE split_part(b.key, ' in ', 2) = to_char(bounds.first, 'YYYY-MM')
    ), metered AS (
        SELECT p.id, p.organization_id, p.created_at,
            CASE WHEN p.is_active THEN timestamptz 'infinity' ELSE coalesce(
                (SELECT x.off_from::timestamp AT TIME ZONE 'UTC' FROM project_pauses x
                    WHERE x.project_id = p.id AND x.ends_at IS NULL),
                date_trunc('day', p.deactivated_at + interval '1 day' - interval '1 microsecond', 'UTC'),
                'infinity') END AS until
        FROM projects p WHERE (only_projects IS NULL OR p.id = ANY(only_projects))
            AND ((SELECT fleetmeter_unscoped()) IS NOT NULL
                OR p.organization_id = ANY ((SELECT fleetmeter_scope())::bigint[]))
    ), known AS (
        SELECT p.*, b.*, m.seal, m.organization_id AS billed_to, m.created_at AS closed_at, m.closed_by,
            m.days_present, m.days_expected, m.total_charge, m.currency, m.owners, m.later_readings,
            b.first < b.installed AND NOT EXISTS (SELECT FROM history_to_bill h
                WHERE h.project_id = p.id AND h.month = b.first) AS is_history,
            EXISTS (SELECT FROM daily_stats d
                WHERE d.project_id = p.id AND d.date >= b.first AND d.date < b.after) AS has_days
        FROM bounds b CROSS JOIN metered p
        LEFT JOIN monthly_stats m ON m.project_id = p.id AND m.year = extract(year FROM b.first)
            AND m.month = extract(month FROM b.first)
    ), listed AS (
        SELECT k.* FROM known k
        WHERE k.seal IS NOT NULL OR k.has_days
            OR EXISTS (SELECT FROM usage_hourly u WHERE u.project_id = k.id
                AND u.hour >= k.starts AND u.hour < k.ends
                AND greatest(u.{", u.".join(COUNTERS)}) > 0)
            OR (k.created_at < k.ends AND k.until > k.starts AND NOT k.is_history
                AND NOT EXISTS (SELECT FROM project_pauses x WHERE x.project_id = k.id
                    AND x.off_from <= greatest(k.first, k.created_at::date)
                    AND coalesce(x.off_until, 'infinity') >= k.after)
                AND EXISTS (SELECT FROM project_stats s WHERE s.project_id = k.id AND s.open_from < k.ends))
    )
    SELECT l.id, coalesce(l.billed_to,
            (SELECT w.organization_id FROM project_owners w
                WHERE w.project_id = l.id AND w.read_from < l.ends ORDER BY w.read_from DESC LIMIT 1),
            (SELECT w.organization_id FROM project_owners w
                WHERE w.project_id = l.id ORDER BY w.read_from LIMIT 1), l.organization_id),
        CASE WHEN l.seal IS NOT NULL THEN 'closed' WHEN l.is_history THEN 'history'
            WHEN why.reason IS NOT NULL THEN 'blocked' ELSE 'open' END,
        CASE WHEN l.seal IS NOT NULL THEN NULL
            WHEN l.is_history THEN 'before the installation: billed on request only (backfill --bill)'
            WHEN why.reason IS NOT NULL THEN why.reason
            WHEN l.ends > at THEN format('runs until %s', l.after)
            WHEN left_out.reason IS NOT NULL THEN
                format('over, the last close left it out: %s', left_out.reason)
            ELSE 'over, not closed yet' END,
        l.closed_at, l.closed_by, l.days_present, l.days_expected, l.total_charge, l.currency,
        coalesce(l.owners, '[]'), coalesce(l.later_readings, '[]')
    FROM listed l LEFT JOIN (SELECT id, min(reason) AS reason FROM left_out GROUP BY id) left_out
        ON left_out.id = l.id
    LEFT JOIN LATERAL (
        SELECT string_agg(reasons.reason, '; ' ORDER BY reasons.reason) AS reason FROM (
            SELECT format('close %s first', min(to_char(d.date, 'YYYY-MM'))) AS reason
            FROM daily_stats d WHERE d.project_id = l.id AND d.date < l.first AND d.date >= coalesce((
                SELECT (make_date(c.year, c.month, 1) + interval '1 month')::date FROM monthly_stats c
                WHERE c.project_id = l.id ORDER BY c.year DESC, c.month DESC LIMIT 1), '-infinity')
                AND (d.date >= l.installed OR EXISTS (SELECT FROM history_to_bill h
                    WHERE h.project_id = l.id AND h.month = date_trunc('month', d.date)::date))
            HAVING count(*) > 0
            UNION ALL
            SELECT format('%s was blind from %s to %s (%s): gap %s; cover it, or accept it', g.source,
                to_char(g.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'),
                coalesce(to_char(g.ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), 'now'),
                concat_ws(' by counter ', g.reason, (SELECT c.client_id FROM gaps c WHERE c.id = g.id)), g.id)
            FROM fleetmeter_gaps() g WHERE (g.project_ids IS NULL OR l.id = ANY(g.project_ids))
                AND g.source IN ('mqtt', 'platform_db') AND g.covered_at IS NULL
                AND g.accepted_at IS NULL AND g.starts_at < least(l.ends, l.until)
                AND coalesce(g.ends_at, 'infinity') > greatest(l.starts, l.created_at)
        ) reasons
    ) why ON l.seal IS NULL AND NOT l.is_history AND l.ends <= at
    ORDER BY l.id
$body$
"""

# As the revisions m0123456789j and s4567890123o made it.
EARLIER_STATUS = """
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
        FROM projects p WHERE (SELECT fleetmeter_unscoped()) IS NOT NULL
            OR p.organization_id = ANY ((SELECT fleetmeter_scope())::bigint[])
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
            FROM fleetmeter_gaps() g WHERE (g.project_ids IS NULL OR p.id = ANY(g.project_ids))
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
    op.execute(TABLES)
    op.execute("""
        SELECT fleetmeter_protect('history_to_bill', 'project_id IN (SELECT fleetmeter_own_projects())')""")
    op.execute(moved("-"))
    op.execute("DROP FUNCTION fleetmeter_month_status(date, timestamptz)")
    op.execute(STATUS)


def downgrade() -> None:
    op.execute("DROP FUNCTION fleetmeter_month_status(date, timestamptz, bigint[])")
    op.execute(EARLIER_STATUS)
    op.execute(moved("+"))
    op.execute("""
        DROP TABLE history_to_bill;
        ALTER TABLE monthly_stats DROP COLUMN owners, DROP COLUMN later_readings""")
