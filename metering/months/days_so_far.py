"""The days of the running month: the sealed ones, and the open ones as the seal would make them now."""

from metering.catalogue import platform
from metering.catalogue.history import OFF_ON, OWNER_OF_PERIOD, TIER_AT
from metering.catalogue.meters import SAMPLED_GAUGES, STORAGE_PARTS, columns
from metering.catalogue.own_meters import merged_sql
from metering.catalogue.projects import FIRST_OPEN, METERED_FROM, METERED_UNTIL
from metering.ledger.gauges import known_sum

SAMPLED = tuple(gauge.name for gauge in SAMPLED_GAUGES)
CARRIED = "interval '40 days'"  # how long before the month an open hour's sample is looked for

_LAST_SAMPLE = "(array_agg({0} ORDER BY hour DESC) FILTER (WHERE {0} IS NOT NULL))[1] AS {0}"
_MERGED = merged_sql("(CASE WHEN hour >= day.starts THEN meters ELSE '{}' END)")

# A row is `project_id, date, organization_id, tier`, counters, gauges and own meters. An open day has the
# last sample since the last sealed day, as sealing each day in turn would carry it.
_OPEN = f"""
    SELECT p.id AS project_id, day.date, o.id AS organization_id, {TIER_AT.format(end="day.ends")} AS tier,
        {columns("coalesce(h.{0}, 0) AS {0}")}, {columns("coalesce(h.{0}, previous.{0}) AS {0}", SAMPLED)},
        h.meters
    FROM {platform.PROJECTS} p LEFT JOIN project_stats s ON s.project_id = p.id
    CROSS JOIN LATERAL (SELECT coalesce(s.open_from, {FIRST_OPEN}) AS open_from) open
    CROSS JOIN LATERAL generate_series(greatest(open.open_from, CAST(:start AS timestamptz)),
        least(CAST(:at AS timestamptz), CAST(:end AS timestamptz) - interval '1 day'),
        interval '1 day') AS series (starts)
    CROSS JOIN LATERAL (SELECT starts, starts + interval '1 day' AS ends,
        (starts AT TIME ZONE 'UTC')::date AS date) day
    {OWNER_OF_PERIOD.format(end="day.ends")}
    CROSS JOIN LATERAL (
        SELECT {columns("sum({0}) FILTER (WHERE hour >= day.starts)", joiner=" + ")} AS used,
            {columns("sum({0}) FILTER (WHERE hour >= day.starts) AS {0}")},
            {columns(_LAST_SAMPLE, SAMPLED)}, {_MERGED} AS meters
        FROM usage_hourly u WHERE u.project_id = p.id AND u.hour >= open.open_from AND u.hour < day.ends
            AND u.hour >= CAST(:start AS timestamptz) - {CARRIED} AND u.hour < :end) h
    LEFT JOIN LATERAL (
        SELECT {columns("{0}", SAMPLED)} FROM daily_stats d
        WHERE d.project_id = p.id AND d.date < day.date ORDER BY d.date DESC LIMIT 1) previous ON true
    WHERE p.id = ANY(:ids) AND (h.used > 0 OR h.meters <> '{{}}' OR ({METERED_FROM} < day.ends
        AND {METERED_UNTIL} > day.starts AND NOT {OFF_ON.format(date="day.date")}))"""

_COLUMNS = f"project_id, date, organization_id, tier, {columns('{0}')}, {columns('{0}', SAMPLED)}, meters"

# SQL of the days from `:first` to `:last` of the projects `:ids`, as far as they have begun at `:at`.
# FIRST_OPEN takes `:month_start`.
DAYS_SO_FAR = f"""(
    SELECT {_COLUMNS}, {known_sum(STORAGE_PARTS)} AS storage_bytes FROM (
        SELECT {_COLUMNS} FROM daily_stats
        WHERE project_id = ANY(:ids) AND date >= :first AND date <= :last
        UNION ALL SELECT {_COLUMNS} FROM ({_OPEN}) open_days) days)"""
