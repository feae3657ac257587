"""The rule about sources that could not be read: one incident for each project and source.

More than a few projects of one source share a cause, such as a key that expired: they are one incident.
"""

from metering.catalogue.sources import POLLED_SOURCES

FEW = 5  # projects with the same trouble, above which it is the fleet's

# Of a failure `{project}` of `{source}`: an incident about it is open.
IS_FAILING = """EXISTS (
    SELECT FROM alerts open WHERE open.kind = 'source_failed' AND open.resolved_at IS NULL
    AND open.subject = {source} AND (open.project_id IS NULL OR open.project_id = {project}))"""

_MEASURED_AT = (
    "CASE e.source "
    + " ".join(f"WHEN '{source.name}' THEN s.{source.measured_at}" for source in POLLED_SOURCES)
    + " END"
)

# The last refresh of every project, and the refreshes of single projects after it. The last is selected by
# a range that holds one job: otherwise PostgreSQL would read every run.
_REFRESHES = """
    SELECT r.id, r.project_id, r.arguments, r.errors FROM job_runs r
    WHERE r.job = 'hourly' AND r.state = 'succeeded' AND NOT r.dry_run
        AND r.finished_at > :since_failed AND r.id >= coalesce((
            SELECT id FROM job_runs WHERE job >= 'hourly' AND job <= 'hourly' AND state = 'succeeded'
            AND NOT dry_run AND project_id IS NULL AND NOT arguments ? 'of'
            ORDER BY job DESC, id DESC LIMIT 1), 0)"""

# A later refresh of the project, or a retry of what this run left out, makes up for a failure.
_FAILURES = """
    SELECT DISTINCT ON (source, project) r.id AS run, e->>'source' AS source,
        (e->>'project_id')::bigint AS project, e->>'error' AS error, coalesce(e->>'kind', 'failed') AS failure
    FROM refreshes r CROSS JOIN LATERAL jsonb_array_elements(r.errors) e
    WHERE e ? 'source' AND NOT EXISTS (
        SELECT FROM refreshes l
        WHERE l.id > r.id AND (l.project_id IS NULL OR l.project_id = (e->>'project_id')::bigint)
            AND coalesce(l.arguments->'projects' @> (e->'project_id'), true)
            AND coalesce(l.arguments->'sources' @> (e->'source'), true)
            AND NOT l.errors @> jsonb_build_array(
                jsonb_build_object('source', e->'source', 'project_id', e->'project_id')))
    ORDER BY source, project, r.id DESC"""

SOURCE_FAILED = f"""
    WITH refreshes AS MATERIALIZED ({_REFRESHES}), failures AS MATERIALIZED ({_FAILURES}), each AS (
        SELECT e.*, count(*) OVER (PARTITION BY e.source) AS projects, {_MEASURED_AT} AS measured_at,
            bool_or(e.project IS NULL) OVER (PARTITION BY e.source) AS whole
        FROM failures e LEFT JOIN project_stats s ON s.project_id = e.project)
    SELECT 'warning' AS severity, CASE WHEN grouped.of_project THEN project END AS project_id,
        source AS subject, jsonb_strip_nulls(jsonb_build_object('source', source, 'run', max(run),
            'failure', min(failure), 'error', left(min(error), 500), 'since', min(measured_at),
            'projects', CASE WHEN NOT grouped.of_project AND NOT bool_or(whole) THEN count(*) END,
            'first', CASE WHEN NOT grouped.of_project THEN (
                array_agg(project ORDER BY project) FILTER (WHERE project IS NOT NULL))[1:3] END)) AS detail
    FROM each CROSS JOIN LATERAL (
        SELECT NOT each.whole AND each.projects <= {FEW} AS of_project) AS grouped
    GROUP BY source, grouped.of_project, CASE WHEN grouped.of_project THEN project END"""
