"""The laws of totals: running months, days, months and lifetimes are the sums of their parts."""

from metering.catalogue.meters import COUNTER_NAMES, GAUGE_NAMES, columns
from metering.catalogue.month_sql import first_of_month, month_name, month_of_hour
from metering.catalogue.own_meters import merged_sql
from metering.catalogue.projects import IS_BILLED
from metering.months.own_quantities import ADJUSTMENTS, with_adjustments
from metering.proof.retained import kept_from

_PERIOD = month_name("s")

_TOTALS = columns("coalesce(sum({0}), 0) AS {0}")  # numeric: a sum may exceed 64 bits


def _sums(pairs: str, names: tuple[str, ...] = COUNTER_NAMES) -> str:
    """Compare columns `x` and `expected_x` of `pairs`; one row for each that differs."""
    values = columns("('{0}', c.expected_{0}, c.{0})", names)
    return f"""
        SELECT c.project_id, c.period, v.meter, v.expected::text, v.found::text FROM ({pairs}) c
        CROSS JOIN LATERAL (VALUES {values}) AS v (meter, expected, found)
        WHERE v.expected IS DISTINCT FROM v.found"""


def _own(pairs: str) -> str:
    """Compare the cells `expected` and `found` of `pairs`; one row for each own meter that differs.

    A cell that is no object, because somebody rewrote it, differs as a whole.
    """
    return f"""
        SELECT c.project_id, c.period, names.name, coalesce(c.expected->>names.name, 'nothing'),
            coalesce(CASE names.name WHEN 'meters' THEN c.found::text ELSE c.found->>names.name END,
                'nothing')
        FROM ({pairs}) c CROSS JOIN LATERAL (
            SELECT jsonb_object_keys(c.expected) AS name
            UNION SELECT jsonb_object_keys(
                CASE jsonb_typeof(c.found) WHEN 'object' THEN c.found ELSE '{{}}' END)
            UNION SELECT 'meters' WHERE jsonb_typeof(c.found) <> 'object') names
        WHERE c.expected IS DISTINCT FROM c.found
            AND (names.name = 'meters' OR c.expected->names.name IS DISTINCT FROM c.found->names.name)"""


_STORED = "coalesce(s.{0}, '{{}}') AS found"

_EXPECTED = "coalesce(e.meters, '{}') AS expected"

_COUNTERS = columns("coalesce(e.{0}, 0) AS expected_{0}, s.{0}")

RUNNING_TOTALS = _sums(f"""
    SELECT project_id, 'open months' AS period, {_COUNTERS} FROM project_stats s FULL JOIN (
        SELECT u.project_id, {columns("sum(u.{0}) AS {0}")} FROM usage_hourly u
        LEFT JOIN monthly_stats m ON m.project_id = u.project_id
            AND (m.year, m.month) = (extract(year FROM u.hour), extract(month FROM u.hour))
        WHERE m.project_id IS NULL AND {
    IS_BILLED.format(project="u.project_id", month=month_of_hour("u.hour"))
}
        GROUP BY u.project_id) e USING (project_id)""")

OWN_RUNNING_TOTALS = _own(f"""
    SELECT project_id, 'open months' AS period, {_EXPECTED}, {_STORED.format("meters")}
    FROM project_stats s FULL JOIN (
        SELECT u.project_id, fleetmeter_meters(array_agg(u.meters)) AS meters FROM usage_hourly u
        LEFT JOIN monthly_stats m ON m.project_id = u.project_id
            AND (m.year, m.month) = (extract(year FROM u.hour), extract(month FROM u.hour))
        WHERE u.meters <> '{{}}' AND m.project_id IS NULL AND {
    IS_BILLED.format(project="u.project_id", month=month_of_hour("u.hour"))
}
        GROUP BY u.project_id) e USING (project_id)""")

DAYS = _sums(f"""
    SELECT s.project_id, s.date::text AS period, {_COUNTERS} FROM daily_stats s LEFT JOIN (
        SELECT project_id, (hour AT TIME ZONE 'UTC')::date AS date, {_TOTALS}
        FROM usage_hourly GROUP BY 1, 2) e USING (project_id, date)
    WHERE s.date >= {kept_from("usage_hourly")}""")

OWN_DAYS = _own(f"""
    SELECT s.project_id, s.date::text AS period, {_EXPECTED}, {_STORED.format("meters")}
    FROM daily_stats s LEFT JOIN (
        SELECT project_id, (hour AT TIME ZONE 'UTC')::date AS date,
            fleetmeter_meters(array_agg(meters)) AS meters
        FROM usage_hourly WHERE meters <> '{{}}' GROUP BY 1, 2) e USING (project_id, date)
    WHERE s.date >= {kept_from("usage_hourly")}""")

MONTHS = _sums(
    f"""
    SELECT s.project_id, {_PERIOD} AS period,
        {columns("coalesce(e.{0}, 0) + coalesce(a.{0}, 0) AS expected_{0}, s.{0}")},
        {columns("e.peak_{0} AS expected_peak_{0}, s.peak_{0}", GAUGE_NAMES)}
    FROM monthly_stats s LEFT JOIN (
        SELECT project_id, year, month, {_TOTALS}, {columns("max({0}) AS peak_{0}", GAUGE_NAMES)}
        FROM daily_stats GROUP BY project_id, year, month) e USING (project_id, year, month)
    LEFT JOIN (
        SELECT project_id, posted_month,
            {columns("sum(quantity) FILTER (WHERE meter = '{0}' AND amount IS NULL) AS {0}")}
        FROM adjustments GROUP BY project_id, posted_month) a
        ON a.project_id = s.project_id AND a.posted_month = {first_of_month("s")}
    WHERE {first_of_month("s")} >= {kept_from("daily_stats")} OR e.project_id IS NOT NULL""",
    (*COUNTER_NAMES, *(f"peak_{name}" for name in GAUGE_NAMES)),
)

OWN_MONTHS = _own(f"""
    SELECT s.project_id, {_PERIOD} AS period, {with_adjustments("e.meters", "a.meters")} AS expected,
        s.meters AS found
    FROM monthly_stats s LEFT JOIN (
        SELECT project_id, year, month, {merged_sql()} AS meters
        FROM daily_stats GROUP BY project_id, year, month) e USING (project_id, year, month)
    LEFT JOIN (
        SELECT x.project_id, x.posted_month, {ADJUSTMENTS} AS meters FROM adjustments x
        GROUP BY x.project_id, x.posted_month) a
        ON a.project_id = s.project_id AND a.posted_month = {first_of_month("s")}
    WHERE {first_of_month("s")} >= {kept_from("daily_stats")} OR e.project_id IS NOT NULL""")

# PostgreSQL reads a cell that somebody rewrote in any form: only numbers are compared.
NEGATIVE = f"""
    SELECT s.project_id, {_PERIOD}, v.meter, 'at least 0', v.found::text FROM monthly_stats s
    CROSS JOIN LATERAL (VALUES {columns("('{0}', s.{0}::numeric)")}) AS v (meter, found) WHERE v.found < 0
    UNION ALL SELECT s.project_id, {_PERIOD}, own.key, 'at least 0', own.value::text
    FROM monthly_stats s CROSS JOIN LATERAL jsonb_each(
        CASE jsonb_typeof(s.meters) WHEN 'object' THEN s.meters ELSE '{{}}' END) own
    WHERE CASE jsonb_typeof(own.value) WHEN 'number' THEN own.value::numeric < 0 ELSE false END"""

LIFETIME = _sums(f"""
    SELECT project_id, 'lifetime' AS period,
        {columns("coalesce(e.{0}, 0) AS expected_{0}, s.lifetime_{0} AS {0}")}
    FROM project_stats s FULL JOIN (
        SELECT project_id, {_TOTALS} FROM monthly_stats GROUP BY project_id) e USING (project_id)""")

OWN_LIFETIME = _own(f"""
    SELECT project_id, 'lifetime' AS period, {_EXPECTED}, {_STORED.format("lifetime_meters")}
    FROM project_stats s FULL JOIN (
        SELECT project_id, {merged_sql()} AS meters FROM monthly_stats GROUP BY project_id) e
        USING (project_id)""")

TOTAL_LAWS: dict[str, tuple[str, str]] = {
    "project_stats = hours of the open months": (
        f"{RUNNING_TOTALS} UNION ALL {OWN_RUNNING_TOTALS}",
        "project_stats",
    ),
    "a day = its hours": (f"{DAYS} UNION ALL {OWN_DAYS}", "daily_stats"),
    "a month = its days + adjustments": (f"{MONTHS} UNION ALL {OWN_MONTHS}", "monthly_stats"),
    "no total of a month is negative": (NEGATIVE, "monthly_stats"),
    "lifetime = all closed months": (f"{LIFETIME} UNION ALL {OWN_LIFETIME}", "project_stats"),
}
