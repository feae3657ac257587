"""Rules about sealed days: missing ones, and those measured in part.

More than a few projects with the same trouble share a cause, such as a runner that was off: one incident.
"""

from metering.alerts.rules.sources import FEW, IS_FAILING
from metering.catalogue.sources import quoted
from metering.days import coverage, expected_days

# Of `each`: a row for each project; of the whole when there are more than a few.
_GROUPED = f"CROSS JOIN LATERAL (SELECT each.projects <= {FEW} AS of_project) AS grouped"
_WHOSE = "CASE WHEN grouped.of_project THEN project_id END"
_PROJECTS = "CASE WHEN NOT grouped.of_project THEN count(DISTINCT project_id) END"

SNAPSHOT_MISSING = f"""
    SELECT 'warning' AS severity, {_WHOSE} AS project_id, 'daily snapshots' AS subject,
        jsonb_strip_nulls(jsonb_build_object('days', sum(days), 'first', min(first), 'last', max(last),
            'projects', {_PROJECTS})) AS detail
    FROM (
        SELECT m.project_id, count(*) AS days, min(m.date) AS first, max(m.date) AS last,
            count(*) OVER () AS projects
        FROM ({expected_days.MISSING_DAYS}) AS m (project_id, project, organization_id, date)
        GROUP BY m.project_id) AS each
    {_GROUPED} GROUP BY grouped.of_project, {_WHOSE}"""

# Days that a source still cannot be read on belong to the incident of that source, and those of a session
# that the broker lost, or that another client took over, to the incident of that gap.
_LOST = """source.key = 'mqtt' AND EXISTS (SELECT FROM alerts gap WHERE gap.resolved_at IS NULL
    AND gap.kind IN ('session_lost', 'client_id_taken'))"""
UNCOVERED = f"""
    SELECT 'warning' AS severity, {_WHOSE} AS project_id, source AS subject,
        jsonb_strip_nulls(jsonb_build_object('source', source, 'days', sum(days), 'first', min(first),
            'last', max(last), 'hours', sum(hours), 'of', sum(expected), 'projects', {_PROJECTS})) AS detail
    FROM (
        SELECT d.project_id, source.key AS source, count(*) AS days, min(d.date) AS first,
            max(d.date) AS last, sum((source.value->>'hours')::int) AS hours,
            sum((source.value->>'of')::int) AS expected, count(*) OVER (PARTITION BY source.key) AS projects
        FROM daily_stats d CROSS JOIN LATERAL jsonb_each(d.coverage) AS source
        WHERE {coverage.INCOMPLETE.format("d")}
            AND d.date >= (CAST(:at AS timestamptz) - interval '7 days')::date
            AND source.value->>'state' IN {quoted(coverage.INCOMPLETE_STATES)}
            AND NOT {IS_FAILING.format(source="source.key", project="d.project_id")}
            AND NOT ({_LOST})
        GROUP BY d.project_id, source.key) AS each
    {_GROUPED} GROUP BY source, grouped.of_project, {_WHOSE}"""
