"""Rules about bills: months that stay open, several owners, corrections that no bill takes."""

from metering.catalogue.month_sql import first_of_month, month_name, month_of_hour
from metering.months import other_owner

UNBILLED = """
    SELECT 'warning' AS severity, NULL::bigint AS project_id, to_char(due.month, 'YYYY-MM') AS subject,
        jsonb_build_object('month', to_char(due.month, 'YYYY-MM'), 'projects', count(*), 'first', (array_agg(
            jsonb_build_object('project', s.project_id, 'reason', s.reason) ORDER BY s.project_id))[1:3])
        AS detail
    FROM unnest(CAST(:due_months AS date[])) AS due (month)
    CROSS JOIN LATERAL fleetmeter_month_status(due.month, :at) s
    WHERE s.state IN ('open', 'blocked') GROUP BY due.month"""

# Projects that are blocked and have usage are those of `unbilled`, which gives the reasons.
MONTH_BLOCKED = """
    SELECT 'warning' AS severity, NULL::bigint AS project_id, 'monthly' AS subject,
        jsonb_build_object('run', id, 'blocked', (SELECT count(*) FROM jsonb_object_keys(blocked)),
            'first', (SELECT jsonb_object_agg(key, value) FROM (
                SELECT key, value FROM jsonb_each_text(blocked) ORDER BY key LIMIT 3) AS few)) AS detail
    FROM (
        SELECT id, result->'blocked' AS blocked FROM job_runs WHERE job >= 'monthly' AND job <= 'monthly'
        AND state = 'succeeded' AND NOT dry_run ORDER BY job DESC, id DESC LIMIT 1) last
    WHERE blocked <> '{}'
        AND NOT EXISTS (SELECT FROM alerts WHERE kind = 'unbilled' AND resolved_at IS NULL)"""

_LAST_MONTH = f"""({month_of_hour("CAST(:at AS timestamptz)")} - interval '1 month')"""

# Bills of the last month that is over: finance divides each between the owners.
PROJECT_MOVED = f"""
    SELECT 'warning' AS severity, m.project_id, {month_name("m")} AS subject,
        jsonb_build_object('organization_id', m.organization_id, 'owners', m.owners) AS detail
    FROM monthly_stats m WHERE m.owners <> '[]'
        AND {first_of_month("m")} >= {_LAST_MONTH}"""

# A month that is not closed is billed in the currency of the running one.
CORRECTION_NOT_APPLIED = f"""
    SELECT 'warning' AS severity, x.project_id, 'adjustment ' || x.id AS subject,
        jsonb_build_object('adjustment', x.id, 'usage_date', x.usage_date, 'amount', x.amount::text,
            'currency', x.currency, 'month', to_char(x.posted_month, 'YYYY-MM'),
            'billed_in', coalesce(m.currency, CAST(:currency AS text))) AS detail
    FROM adjustments x LEFT JOIN monthly_stats m ON m.project_id = x.project_id
        AND {first_of_month("m")} = x.posted_month
    WHERE x.currency <> coalesce(m.currency, CAST(:currency AS text))"""

# Corrections on the bills of the last month and of the running one: finance settles each between two owners.
_RECENT = f"""x.posted_month >= {_LAST_MONTH}"""
CORRECTION_MOVED = f"""
    SELECT 'warning' AS severity, x.project_id, x.month || ' about ' || x.about AS subject,
        jsonb_build_object('month', x.month, 'about', x.about, 'used_by', x.used_by, 'billed_to', x.billed_to,
            'corrections', x.corrections, 'amount', x.amount::text, 'currency', x.currency) AS detail
    FROM ({other_owner.MOVED.format(chosen=_RECENT)}) x"""
