"""Rules about runs of jobs: failed, left out, late, given up."""

from metering.alerts.rules.sources import IS_FAILING

# Whether the later run `l` makes up for the failure of the run `r`: it left nothing out. A backfill makes up
# for one over the same days only, and a retry of some projects only for the run that it repeats. A refresh is
# not held up by a source that cannot be read: that has an incident of its own.
MENDED = """l.job = r.job AND l.id > r.id AND l.state = 'succeeded' AND NOT l.dry_run
    AND (l.errors = '[]' OR l.job = 'hourly' AND l.errors->0 ? 'source')
    AND (l.project_id IS NULL OR l.project_id = r.project_id)
    AND (r.job <> 'backfill' OR l.period = r.period)
    AND coalesce(l.arguments->>'of', r.id::text) IN (r.id::text, r.arguments->>'of')"""

# Failures of the last week, without those of sources that have an incident of their own: every failure of a
# refresh names its source. Two queries of ids, because an OR would not use the partial index.
JOB_FAILED = f"""
    SELECT DISTINCT ON (subject, r.project_id)
        CASE WHEN r.state = 'failed' THEN 'critical' ELSE 'warning' END AS severity, r.project_id, subject,
        jsonb_build_object('job', r.job, 'run', r.id, 'period', r.period,
            'failures', jsonb_array_length(rest.errors), 'state', r.state,
            'error', left(rest.errors->0->>'error', 500), 'project', rest.errors->0->'project_id') AS detail
    FROM job_runs r
    CROSS JOIN LATERAL (SELECT CASE r.job WHEN 'backfill' THEN 'backfill ' || r.period ELSE r.job END)
        AS named (subject)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.job = 'hourly' OR r.state = 'failed' THEN r.errors ELSE (
            SELECT coalesce(jsonb_agg(e ORDER BY place), '[]')
            FROM jsonb_array_elements(r.errors) WITH ORDINALITY AS failures (e, place)
            WHERE NOT (e ? 'source' AND {
    IS_FAILING.format(source="e->>'source'", project="(e->>'project_id')::bigint")
})) END) AS rest (errors)
    WHERE r.id IN (
            SELECT id FROM job_runs WHERE state = 'failed' AND finished_at > :since_failed
            UNION SELECT id FROM job_runs WHERE errors <> '[]' AND finished_at > :since_failed)
        AND r.state IN ('failed', 'succeeded') AND NOT r.dry_run
        AND (r.state = 'failed' OR rest.errors <> '[]')
        AND NOT (r.job = 'hourly' AND r.state = 'succeeded' AND r.errors->0 ? 'source')
        AND NOT EXISTS (SELECT FROM job_runs l WHERE {MENDED})
    ORDER BY subject, r.project_id, r.id DESC"""

# The last refresh is selected by a range that holds one job: otherwise PostgreSQL would read every run.
JOB_LATE = """
    SELECT 'warning' AS severity, NULL::bigint AS project_id, job AS subject,
        jsonb_build_object('job', job, 'waiting', count(*), 'since', min(since)) AS detail
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
        jsonb_build_object('job', r.job, 'period', r.period, 'run', max(r.id),
            'attempts', max(greatest(r.failed_attempts, r.lost_workers)),
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
        jsonb_build_object('job', job, 'period', period, 'run', id, 'workers_lost', lost_workers,
            'last', worker) AS detail
    FROM job_runs WHERE state IN ('queued', 'running') AND lost_workers >= 3"""
