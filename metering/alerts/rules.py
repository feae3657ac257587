"""Define the rules of alerts, one query for each kind.

`:at` is the instant of the refresh; `:month` is its month, as 2026-11.
"""

from datetime import timedelta

from metering.catalogue.sources import quoted
from metering.days import coverage, expected_days
from metering.running import allowances

NEAR = 0.8  # the share of an allowance at which an operator wants to know
SEALING = timedelta(hours=1)  # after midnight: the job that seals needs some time for many projects
THRESHOLDS = "(VALUES (80), (100)) AS threshold (percent)"

# Whether the later run `l` makes up for the failure of the run `r`: it left nothing out. A backfill makes up
# for one over the same days only, and a retry of some projects only for the run that it repeats.
MENDED = """l.job = r.job AND l.id > r.id AND l.state = 'succeeded' AND NOT l.dry_run AND l.errors = '[]'
    AND (l.project_id IS NULL OR l.project_id = r.project_id)
    AND (r.job <> 'backfill' OR l.period = r.period)
    AND coalesce(l.arguments->>'of', r.id::text) IN (r.id::text, r.arguments->>'of')"""

# Failures of the last week. Two queries, because an OR would not use the partial index.
JOB_FAILED = f"""
    SELECT DISTINCT ON (subject, r.project_id)
        CASE WHEN r.state = 'failed' THEN 'critical' ELSE 'warning' END AS severity, r.project_id, subject,
        jsonb_build_object('run', r.id, 'period', r.period, 'failures', jsonb_array_length(r.errors),
            'error', left(r.errors->0->>'error', 500), 'project', r.errors->0->'project_id') AS detail
    FROM job_runs r
    CROSS JOIN LATERAL (SELECT CASE r.job WHEN 'backfill' THEN 'backfill ' || r.period ELSE r.job END)
        AS named (subject)
    WHERE r.id IN (
            SELECT id FROM job_runs WHERE state = 'failed' AND finished_at > :since_failed
            UNION SELECT id FROM job_runs WHERE errors <> '[]' AND finished_at > :since_failed)
        AND r.state IN ('failed', 'succeeded') AND NOT r.dry_run
        AND NOT EXISTS (SELECT FROM job_runs l WHERE {MENDED})
    ORDER BY subject, r.project_id, r.id DESC"""

# The last refresh is selected by a range that holds one job: otherwise PostgreSQL would read every run.
JOB_LATE = """
    SELECT 'warning' AS severity, NULL::bigint AS project_id, job AS subject,
        jsonb_build_object('waiting', count(*), 'since', min(since)) AS detail
    FROM (
        SELECT job, next_attempt_at AS since FROM job_runs
        WHERE state = 'queued' AND next_attempt_at < CAST(:at AS timestamptz) - interval '15 minutes'
        UNION ALL
        SELECT 'hourly', at FROM (
            SELECT at FROM job_runs WHERE job >= 'hourly' AND job <= 'hourly' AND state = 'succeeded'
            AND NOT dry_run ORDER BY job DESC, id DESC LIMIT 1) last
        WHERE at < CAST(:at AS timestamptz) - interval '2 hours'
    ) late GROUP BY job"""

DEAD_LETTER = f"""
    SELECT 'critical' AS severity, r.project_id, r.job || ' ' || r.period AS subject,
        jsonb_build_object('run', max(r.id), 'attempts', max(greatest(r.failed_attempts, r.lost_workers)),
            'error', left(max(r.errors->0->>'error'), 500),
            'projects', max(jsonb_path_query_array(r.errors, '$.project_id')::text)::jsonb) AS detail
    FROM job_runs r WHERE r.state = 'dead' AND NOT EXISTS (
        SELECT FROM job_runs l WHERE l.job = r.job AND l.id > r.id AND l.period = r.period
        AND l.project_id IS NOT DISTINCT FROM r.project_id AND l.dry_run = r.dry_run)
        AND NOT EXISTS (SELECT FROM job_runs l WHERE {MENDED} AND r.job <> 'reconcile')
    GROUP BY r.job, r.period, r.project_id"""

# A runner may be killed for many reasons; if it happens repeatedly during the same run, the run is to blame.
WORKER_LOST = """
    SELECT 'critical' AS severity, project_id, job || ' ' || period AS subject,
        jsonb_build_object('run', id, 'workers_lost', lost_workers, 'last', worker) AS detail
    FROM job_runs WHERE state IN ('queued', 'running') AND lost_workers >= 3"""

MONTH_BLOCKED = """
    SELECT 'warning' AS severity, NULL::bigint AS project_id, 'monthly' AS subject,
        jsonb_build_object('run', id, 'blocked', (SELECT count(*) FROM jsonb_object_keys(blocked)),
            'first', (SELECT jsonb_object_agg(key, value) FROM (
                SELECT key, value FROM jsonb_each_text(blocked) ORDER BY key LIMIT 3) AS few)) AS detail
    FROM (
        SELECT id, result->'blocked' AS blocked FROM job_runs WHERE job >= 'monthly' AND job <= 'monthly'
        AND state = 'succeeded' AND NOT dry_run ORDER BY job DESC, id DESC LIMIT 1) last
    WHERE blocked <> '{}'"""

UNBILLED = """
    SELECT 'warning' AS severity, NULL::bigint AS project_id, to_char(due.month, 'YYYY-MM') AS subject,
        jsonb_build_object('projects', count(*), 'first', (array_agg(
            jsonb_build_object('project', s.project_id, 'reason', s.reason) ORDER BY s.project_id))[1:3])
        AS detail
    FROM unnest(CAST(:due_months AS date[])) AS due (month)
    CROSS JOIN LATERAL fleetmeter_month_status(due.month, :at) s
    WHERE s.state IN ('open', 'blocked') GROUP BY due.month"""

# Bills of the last month that is over: finance divides each between the owners.
PROJECT_MOVED = """
    SELECT 'warning' AS severity, m.project_id,
        format('%s-%s', m.year, lpad(m.month::text, 2, '0')) AS subject,
        jsonb_build_object('organization_id', m.organization_id, 'owners', m.owners) AS detail
    FROM monthly_stats m WHERE m.owners <> '[]'
        AND make_date(m.year, m.month, 1)
            >= date_trunc('month', CAST(:at AS timestamptz)) - interval '1 month'"""

# Sessions that a daemon has claimed. Two minutes, because a daemon reports every few seconds up to which
# instant it has counted, and a restart takes some seconds.
COUNTER_SILENT = """
    SELECT 'critical' AS severity, NULL::bigint AS project_id, m.client_id AS subject,
        jsonb_build_object('last_seen_at', m.last_seen_at, 'why', CASE
            WHEN w.last_seen_at > now() - interval '1 minute' THEN 'the daemon runs, its broker is away'
            ELSE 'the daemon does not run: start fleetmeter counter' END) AS detail
    FROM mqtt_sessions m LEFT JOIN workers w ON w.name = 'counter ' || m.client_id
    WHERE m.session_started_at IS NOT NULL AND m.epoch > 0 AND m.retired_at IS NULL
        AND m.last_seen_at < CAST(:at AS timestamptz) - interval '2 minutes'"""

SESSION_LOST = """
    SELECT 'critical' AS severity, NULL::bigint AS project_id, 'gap ' || g.id AS subject,
        jsonb_build_object('gap', g.id, 'from', g.starts_at, 'to', g.ends_at, 'reason', g.reason) AS detail
    FROM gaps g WHERE g.source = 'mqtt' AND g.kind = 'session_lost'
        AND g.covered_at IS NULL AND g.accepted_at IS NULL"""

# Another client connected under a counter's client id, and the broker sends the messages to it.
CLIENT_ID_TAKEN = """
    SELECT 'critical' AS severity, NULL::bigint AS project_id, g.client_id AS subject,
        jsonb_build_object('gap', g.id, 'from', g.starts_at, 'to', g.ends_at, 'reason', g.reason) AS detail
    FROM gaps g WHERE g.source = 'mqtt' AND g.kind = 'taken_over'
        AND g.covered_at IS NULL AND g.accepted_at IS NULL"""

SNAPSHOT_MISSING = f"""
    SELECT 'warning' AS severity, m.project_id, 'daily snapshots' AS subject,
        jsonb_build_object('days', count(*), 'first', min(m.date), 'last', max(m.date)) AS detail
    FROM ({expected_days.MISSING_DAYS}) AS m (project_id, project, organization_id, date)
    GROUP BY m.project_id"""

UNCOVERED = f"""
    SELECT 'warning' AS severity, d.project_id, source.key AS subject,
        jsonb_build_object('days', count(*), 'first', min(d.date), 'last', max(d.date),
            'hours', sum((source.value->>'hours')::int), 'of', sum((source.value->>'of')::int)) AS detail
    FROM daily_stats d CROSS JOIN LATERAL jsonb_each(d.coverage) AS source
    WHERE {coverage.INCOMPLETE.format("d")} AND d.date >= (CAST(:at AS timestamptz) - interval '7 days')::date
        AND source.value->>'state' IN {quoted(coverage.INCOMPLETE_STATES)}
    GROUP BY d.project_id, source.key"""

LIMIT = f"""
    SELECT CASE WHEN percent = 100 AND hard THEN 'critical' ELSE 'warning' END AS severity, project_id,
        format('%s %s %% %s', meter, percent, CAST(:month AS text)) AS subject,
        jsonb_build_object('meter', meter, 'month', CAST(:month AS text), 'percent', percent,
            'used', used, 'included', included, 'limit', CASE WHEN hard THEN 'hard' ELSE 'soft' END) AS detail
    FROM ({allowances.OF_PROJECTS}) AS near CROSS JOIN {THRESHOLDS}
    WHERE used > 0 AND used * 100::numeric >= included * percent::numeric
    UNION ALL
    SELECT CASE percent WHEN 100 THEN 'critical' ELSE 'warning' END, NULL::bigint,
        format('%s of organization %s %s %% %s', lower(what), id, percent, CAST(:month AS text)),
        jsonb_build_object('organization_id', id, 'organization', organization, 'what', lower(what),
            'month', CAST(:month AS text), 'percent', percent, 'used', used, 'included', included)
    FROM ({allowances.OF_ORGANIZATIONS}) AS near CROSS JOIN {THRESHOLDS}
    WHERE used > 0 AND used * 100 >= included * percent"""

# Hours of the last day that differ by FLEETMETER_DRIFT_PERCENT, and by more than 100 messages: messages
# that arrive while both counts are read are not a drift.
DRIFT = """
    SELECT 'warning' AS severity, NULL::bigint AS project_id,
        source || ' ' || to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:00') AS subject,
        jsonb_build_object('theirs', theirs, 'ours', ours, 'drift', ours - theirs, 'percent',
            round(100.0 * (ours - theirs) / nullif(theirs, 0), 2)) AS detail
    FROM reconciliations WHERE hour > CAST(:at AS timestamptz) - interval '24 hours'
        AND abs(ours - theirs) > 100
        AND abs(ours - theirs) * 100 > theirs * CAST(:drift_percent AS numeric)"""

# Processes report the difference with their heartbeat; a process that has ended is left out.
CLOCK_WRONG = """
    SELECT 'critical' AS severity, NULL::bigint AS project_id, w.host AS subject,
        jsonb_build_object('seconds', (array_agg(reported.seconds ORDER BY abs(reported.seconds) DESC))[1],
            'roles', string_agg(DISTINCT w.role, ', ')) AS detail
    FROM workers w CROSS JOIN LATERAL (
        SELECT CAST(w.figures->>'clock_difference_seconds' AS double precision) AS seconds) reported
    WHERE w.last_seen_at > clock_timestamp() - interval '2 minutes'
        AND abs(reported.seconds) > CAST(:clock_tolerance AS double precision) GROUP BY w.host"""

# A month that is not closed is billed in the currency of the running one.
CORRECTION_NOT_APPLIED = """
    SELECT 'warning' AS severity, x.project_id, 'adjustment ' || x.id AS subject,
        jsonb_build_object('adjustment', x.id, 'usage_date', x.usage_date, 'amount', x.amount::text,
            'currency', x.currency, 'month', to_char(x.posted_month, 'YYYY-MM'),
            'billed_in', coalesce(m.currency, CAST(:currency AS text))) AS detail
    FROM adjustments x LEFT JOIN monthly_stats m ON m.project_id = x.project_id
        AND make_date(m.year, m.month, 1) = x.posted_month
    WHERE x.currency <> coalesce(m.currency, CAST(:currency AS text))"""

RULES = {
    "clock_wrong": CLOCK_WRONG,
    "job_failed": JOB_FAILED,
    "job_late": JOB_LATE,
    "dead_letter": DEAD_LETTER,
    "worker_lost": WORKER_LOST,
    "month_blocked": MONTH_BLOCKED,
    "unbilled": UNBILLED,
    "project_moved": PROJECT_MOVED,
    "counter_silent": COUNTER_SILENT,
    "session_lost": SESSION_LOST,
    "client_id_taken": CLIENT_ID_TAKEN,
    "snapshot_missing": SNAPSHOT_MISSING,
    "coverage": UNCOVERED,
    "limit": LIMIT,
    "drift": DRIFT,
    "correction_not_applied": CORRECTION_NOT_APPLIED,
}
