"""Rules about allowances and budgets of the running month: one incident for each, which escalates."""

from metering.running import allowances, organization_limits

# The highest own threshold that is reached of `near`; NULL where none is. Own ones of a meter come before
# those of every meter, and these before the default.
_REACHED = """CROSS JOIN LATERAL (
    SELECT max(percent) FROM unnest(coalesce(
        (SELECT percents FROM alert_thresholds t WHERE t.organization_id = {organization}
            AND (t.meter = {meter} OR t.meter IS NULL) ORDER BY t.meter NULLS LAST LIMIT 1),
        CAST(:thresholds AS int[]))) AS threshold (percent)
    WHERE near.used * 100::numeric >= near.included * percent::numeric) AS reached (percent)"""
_OF_PROJECT = _REACHED.format(organization="near.organization_id", meter="near.meter")
_OF_ORGANIZATION = _REACHED.format(organization="near.id", meter="lower(near.what)")

LIMIT = f"""
    SELECT CASE WHEN reached.percent >= 100 AND hard THEN 'critical' ELSE 'warning' END AS severity,
        project_id, concat_ws(' ', near.meter, CAST(:month AS text)) AS subject,
        jsonb_build_object('meter', near.meter, 'month', CAST(:month AS text), 'percent', reached.percent,
            'used', used, 'included', included, 'limit', CASE WHEN hard THEN 'hard' ELSE 'soft' END) AS detail
    FROM ({allowances.OF_PROJECTS}) AS near {_OF_PROJECT}
    WHERE used > 0 AND reached.percent IS NOT NULL
    UNION ALL
    SELECT CASE WHEN reached.percent >= 100 THEN 'critical' ELSE 'warning' END, NULL::bigint,
        format('%s of organization %s %s', lower(what), id, CAST(:month AS text)),
        jsonb_build_object('organization_id', id, 'organization', organization, 'what', lower(what),
            'month', CAST(:month AS text), 'percent', reached.percent, 'used', used, 'included', included)
    FROM ({organization_limits.OF_ORGANIZATIONS}) AS near {_OF_ORGANIZATION}
    WHERE used > 0 AND reached.percent IS NOT NULL"""

# `:budgets`: what metering/organizations/budgets.py compares, as JSON. One in another currency than the
# month's cannot be compared and says so.
BUDGET = """
    SELECT CASE WHEN reached.percent >= 100 THEN 'critical' ELSE 'warning' END AS severity, b.project_id,
        format('budget %s %s', b.id, CAST(:month AS text)) AS subject,
        jsonb_strip_nulls(jsonb_build_object('budget', b.id, 'month', CAST(:month AS text),
            'percent', reached.percent, 'amount', b.amount::text, 'currency', b.currency,
            'so_far', b.so_far::text, 'projected', b.projected::text, 'billed_in', b.billed_in,
            'organization_id', b.organization_id)) AS detail
    FROM jsonb_to_recordset(CAST(:budgets AS jsonb)) AS b (id bigint, organization_id bigint,
        project_id bigint, amount numeric, currency text, so_far numeric, projected numeric, billed_in text)
    CROSS JOIN LATERAL (SELECT max(percent) FROM unnest(CAST(:budget_thresholds AS int[])) AS t (percent)
        WHERE b.billed_in = b.currency AND b.projected * 100 >= b.amount * percent) AS reached (percent)
    WHERE reached.percent IS NOT NULL OR b.billed_in <> b.currency"""
