"""SQL of the usage of one project in the running month, with its corrections."""

from metering.catalogue.projects import BILLED_UNTIL
from metering.months.own_quantities import ADJUSTMENTS

# Usage of a counter in the running month, with the corrections of its own days. That is what project_stats
# has, unless it still holds the month before, which is not closed yet: then it is the running month's
# sealed days and its hours since. Those are few, since a month is usually closed in the first minutes of
# the next one. Bounds are written out: PostgreSQL then plans for the partitions of this month alone.
IN_MONTH = f"""CASE
    WHEN s.project_id IS NULL THEN NULL
    WHEN p.created_at >= :start OR :first <= {BILLED_UNTIL.format(project=":project")} THEN s.{{meter}}
    ELSE coalesce((SELECT sum(d.{{meter}}) FROM daily_stats d
            WHERE d.project_id = :project AND d.date >= :first AND d.date < :after), 0)
        + coalesce((SELECT sum(u.{{meter}}) FROM usage_hourly u WHERE u.project_id = :project
            AND u.hour >= :start AND u.hour < :end AND u.hour >= s.open_from), 0) END
    + coalesce((SELECT sum(x.quantity) FROM adjustments x WHERE x.project_id = :project
        AND x.posted_month = :first AND x.meter = '{{meter}}' AND x.amount IS NULL), 0)"""

# Likewise of a meter of the platform's own, in its aggregation; 0 without events.
OWN_IN_MONTH = f"""CASE WHEN s.project_id IS NOT NULL THEN coalesce((fleetmeter_meters(ARRAY(
        SELECT d.meters FROM daily_stats d WHERE d.project_id = :project
            AND d.date >= :first AND d.date < :after AND d.meters <> '{{{{}}}}'
        UNION ALL SELECT u.meters FROM usage_hourly u WHERE u.project_id = :project
            AND u.hour >= :start AND u.hour < :end AND u.hour >= s.open_from AND u.meters <> '{{{{}}}}')
    || coalesce((SELECT {ADJUSTMENTS} FROM adjustments x WHERE x.project_id = :project
        AND x.posted_month = :first), '{{{{}}}}'))->>'{{meter}}')::numeric, 0) END"""
