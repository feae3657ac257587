"""The laws of the summaries: they are the sums of the sealed days."""

from metering.catalogue.meters import COUNTER_NAMES, COUNTERS, GAUGE_NAMES, columns
from metering.catalogue.month_sql import month_of_day
from metering.catalogue.sources import COUNTER_SOURCES, GAUGE_SOURCES, quoted

_MOST = 2**63 - 1  # a larger sum is stored as this
_BLIND = quoted(("missing", "not_configured", "not_started"))
_EARLIER = quoted(("carried", "denied", "failed"))


def _state(source: str) -> str:
    return f"coalesce(d.coverage->'{source}'->>'state', 'missing')"


def _is_known(source: str) -> str:
    return f"{_state(source)} NOT IN {_BLIND}"


_QUALITY = ", ".join(
    f"count(*) FILTER (WHERE {_is_known(source)}) AS {source}_known,"
    f" count(*) FILTER (WHERE {_state(source)} = 'partial') AS {source}_partial"
    for source in COUNTER_SOURCES
)
_CARRIED = ", ".join(
    f"count(*) FILTER (WHERE {_state(source)} IN {_EARLIER}) AS {source}_carried" for source in GAUGE_SOURCES
)
_ANY_CARRIED = " OR ".join(f"{_state(source)} IN {_EARLIER}" for source in GAUGE_SOURCES)
_SUMS = ", ".join(
    f"least(coalesce(sum(d.{c.name}) FILTER (WHERE {_is_known(c.source)}), 0), {_MOST}) AS {c.name}"
    for c in COUNTERS
)
_LEVELS = columns(
    f"count(d.{{0}}) AS known_{{0}}, least(coalesce(sum(d.{{0}}), 0), {_MOST}) AS {{0}}", GAUGE_NAMES
)


def _differing(table: str, keys: str, expected: str, project: str, period: str, what: str) -> str:
    """Compare the rows of `table` with the sums of the days and of their own meters, value by value."""
    return f"""
        SELECT {project}, {period}, {what} || v.key, v.expected, v.found FROM (
            SELECT {keys}, to_jsonb(e) AS expected, to_jsonb(s) AS found
            FROM ({expected}) e FULL JOIN {table} s USING ({keys})) both_sides
        CROSS JOIN LATERAL (
            SELECT key, x.value::text AS expected, y.value::text AS found
            FROM jsonb_each(coalesce(expected, '{{}}')) x FULL JOIN jsonb_each(coalesce(found, '{{}}')) y
                USING (key)
            WHERE x.value IS DISTINCT FROM y.value
        ) v"""


# A cell that somebody rewrote may be anything; verify has to read it, to say so.
_CELL = "CASE jsonb_typeof(d.meters) WHEN 'object' THEN d.meters ELSE '{}' END"
_NUMBER = "CASE jsonb_typeof(own.value) WHEN 'number' THEN CAST(own.value AS numeric) END"


def _own(group: str) -> str:
    """Return SQL of the platform's own meters by `group`: their sums and the largest of each."""
    return f"""
        SELECT {group}, jsonb_object_agg(meter, total) AS meters,
            jsonb_object_agg(meter, largest) AS largest_meters
        FROM (SELECT {group}, own.key AS meter, sum({_NUMBER}) AS total,
                max({_NUMBER}) AS largest
            FROM (SELECT *, {month_of_day("date")} AS first_of_month FROM daily_stats) d
            CROSS JOIN LATERAL jsonb_each({_CELL}) own GROUP BY {group}, own.key) meters
        GROUP BY {group}"""


_EMPTY = "coalesce(own.meters, '{}') AS meters, coalesce(own.largest_meters, '{}') AS largest_meters"

ORGANIZATION_DAYS = _differing(
    "organization_days",
    "date, organization_id, tier",
    f"""SELECT days.*, {_EMPTY} FROM (
            SELECT date, organization_id, tier, count(*) AS projects, {_QUALITY}, {_CARRIED},
                count(*) FILTER (WHERE {_ANY_CARRIED}) AS storage_carried, {_LEVELS}, {_SUMS}
            FROM daily_stats d GROUP BY date, organization_id, tier) days
        LEFT JOIN ({_own("date, organization_id, tier")}) own USING (date, organization_id, tier)""",
    "0",
    "date::text",
    "'organization ' || organization_id || ', ' || tier || ', '",
)

_COUNTS = (
    *(f"{source}_{what}" for source in COUNTER_SOURCES for what in ("known", "partial")),
    *(f"{name}_carried" for name in (*GAUGE_SOURCES, "storage")),
    *(f"known_{name}" for name in GAUGE_NAMES),
)


def _merged(column: str, way: str) -> str:
    """Return SQL of each tier's and date's cell of the platform's own meters, as `way` makes one of many."""
    cell = _CELL.replace("d.meters", f"d.{column}")
    return f"""
        SELECT date, tier, jsonb_object_agg(meter, value) AS {column} FROM (
            SELECT d.date, d.tier, own.key AS meter, {way}({_NUMBER}) AS value
            FROM organization_days d CROSS JOIN LATERAL jsonb_each({cell}) own GROUP BY 1, 2, 3) meters
        GROUP BY date, tier"""


# Of the organizations' sums, which the law above holds equal to the days: the days are not read once more.
TIER_DAYS = _differing(
    "tier_days",
    "date, tier",
    f"""SELECT days.*, coalesce(sums.meters, '{{}}') AS meters,
            coalesce(peaks.largest_meters, '{{}}') AS largest_meters FROM (
            SELECT date, tier, sum(projects) AS projects, {columns("sum({0}) AS {0}", _COUNTS)},
                {columns(f"least(sum({{0}}), {_MOST}) AS {{0}}", (*COUNTER_NAMES, *GAUGE_NAMES))}
            FROM organization_days GROUP BY date, tier) days
        LEFT JOIN ({_merged("meters", "sum")}) sums USING (date, tier)
        LEFT JOIN ({_merged("largest_meters", "max")}) peaks USING (date, tier)""",
    "0",
    "date::text",
    "tier || ', '",
)

PROJECT_MONTHS = _differing(
    "project_months",
    "month, project_id, organization_id, tier",
    f"""SELECT days.*, {_EMPTY} FROM (
            SELECT {month_of_day("date")} AS month, project_id, organization_id, tier,
                count(*) AS days, {_QUALITY}, {_SUMS}
            FROM daily_stats d GROUP BY 1, 2, 3, 4) days
        LEFT JOIN (SELECT first_of_month AS month, own.project_id, own.organization_id, own.tier, own.meters,
                own.largest_meters
            FROM ({_own("first_of_month, project_id, organization_id, tier")}) own) own
            USING (month, project_id, organization_id, tier)""",
    "project_id",
    "to_char(month, 'YYYY-MM')",
    "'organization ' || organization_id || ', ' || tier || ', '",
)

SUMMARY_LAWS: dict[str, tuple[str, str]] = {
    "days by organization = its projects' days": (ORGANIZATION_DAYS, "organization_days"),
    "days by tier = its organizations' days": (TIER_DAYS, "tier_days"),
    "months by project = its days": (PROJECT_MONTHS, "project_months"),
}
