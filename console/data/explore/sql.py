"""SQL of sealed and open days, grouped; assembled from the catalogue of measures alone.

Each statement returns rows of `label, period, ends, rows` and for measure number i its value `v<i>`, `k<i>`
(of how many project-days it is known) and `e<i>` (how many of those are partial or of an earlier day).
"""

from collections.abc import Sequence

from console.data.explore.measures import Measure
from metering.catalogue import platform
from metering.catalogue.month_sql import month_of_day
from metering.catalogue.sources import GAUGE_SOURCES, source_info

_BLIND = "('missing', 'not_configured', 'not_started')"
_EARLIER = "('carried', 'denied', 'failed')"
PERIODS = {
    "day": "date",
    "week": "date_trunc('week', date)::date",
    "month": month_of_day("date"),
}
_FILTERS = {
    "organizations": "organization_id = ANY(:organizations)",
    "tiers": "tier = ANY(:tiers)",
    "projects": "project_id = ANY(:projects)",
}


def where(names: Sequence[str], prefix: str = "") -> str:
    """Return SQL of the filters `names`; without filters that are given it is true."""
    return " AND ".join(f"{prefix}{_FILTERS[name]}" for name in names) or "true"


def _state(source: str) -> str:
    return f"coalesce(d.coverage->'{source}'->>'state', 'missing')"


def _known_day(measure: Measure) -> str:
    if measure.kind == "own":
        return "true"
    if measure.kind == "gauge":
        return f"d.{measure.name} IS NOT NULL"
    return f"{_state(str(measure.source))} NOT IN {_BLIND}"


def _earlier_day(measure: Measure) -> str:
    if measure.kind == "own":
        return "false"
    if measure.source is None:
        return " OR ".join(f"{_state(source)} IN {_EARLIER}" for source in GAUGE_SOURCES)
    if source_info(measure.source).is_counter:
        return f"{_state(measure.source)} = 'partial'"
    return f"{_state(measure.source)} IN {_EARLIER}"


def of_projects(measures: Sequence[Measure], condition: str) -> str:
    """Return SQL of the sealed days of projects, a row each."""
    values = ", ".join(
        f"CASE WHEN {_known_day(m)} THEN {m.value('d')} END AS v{i}, ({_known_day(m)})::int AS k{i},"
        f" ({_earlier_day(m)})::int AS e{i}"
        for i, m in enumerate(measures)
    )
    return f"""SELECT d.project_id, d.date, d.organization_id, d.tier, 1 AS rows, {values} FROM daily_stats d
        WHERE d.date >= :first AND d.date <= :last AND {condition}"""


def of_organizations(measures: Sequence[Measure], condition: str) -> str:
    """Return SQL of the summaries of sealed days, a row for an organization's projects of one tier."""
    return f"""SELECT NULL::bigint AS project_id, date, organization_id, tier, {_summed(measures)}
        FROM organization_days WHERE date >= :first AND date <= :last AND {condition}"""


def of_tiers(measures: Sequence[Measure], condition: str) -> str:
    """Return SQL of the summaries of sealed days, a row for the projects of one tier of every organization.

    A session that is limited to organizations sees none of them.
    """
    return f"""SELECT NULL::bigint AS project_id, date, NULL::bigint AS organization_id, tier,
            {_summed(measures)}
        FROM tier_days WHERE date >= :first AND date <= :last AND {condition}"""


def _summed(measures: Sequence[Measure]) -> str:
    values = ", ".join(
        f"CASE WHEN {m.known_column} > 0 THEN {m.sum_sql} END AS v{i}, {m.known_column} AS k{i},"
        f" {m.earlier_column} AS e{i}"
        for i, m in enumerate(measures)
    )
    return f"projects AS rows, {values}"


def _live(measure: Measure, number: int) -> str:
    if measure.kind == "gauge":
        level = f"CASE WHEN day.date = :today THEN s.{measure.live} END"
        return f"{level} AS v{number}, ({level} IS NOT NULL)::int AS k{number}, 0 AS e{number}"
    if measure.kind == "own":
        return f"coalesce(h.v{number}, 0) AS v{number}, 1 AS k{number}, 0 AS e{number}"
    measured_at = f"s.{measure.source}_measured_at"
    is_known = f"{measured_at} IS NOT NULL"
    if source_info(measure.source or "mqtt").is_polled:  # it says itself up to when it has looked
        is_known = f"coalesce({measured_at} > day.date, false)"
    return (
        f"CASE WHEN {is_known} THEN coalesce(h.v{number}, 0) END AS v{number},"
        f" ({is_known})::int AS k{number}, 0 AS e{number}"
    )


# Of one open day the hours' dates need not be told apart, which is a fifth of the reading.
_OPEN_DATE = """CASE WHEN CAST(:open AS date) = CAST(:last AS date) THEN CAST(:open AS date)
            ELSE (u.hour AT TIME ZONE 'UTC')::date END"""


def open_days(measures: Sequence[Measure], names: Sequence[str]) -> str:
    """Return SQL of the days from `:open` to `:last` that nobody has sealed yet, a row for each project.

    Counters from the hours, gauges of the running day from the running totals; today's owner and tier.
    `names` are the filters. The hours' bounds are instants, which tell the partitions apart.
    """
    counters = [(i, m) for i, m in enumerate(measures) if m.kind != "gauge"]
    sums = "".join(f", {m.aggregate}({m.value('u')}) AS v{i}" for i, m in counters)
    values = ", ".join(_live(m, i) for i, m in enumerate(measures))
    owned = f"AND u.project_id IN (SELECT id FROM {platform.PROJECTS} p WHERE {_FILTERS['organizations']})"
    of_projects = f"AND u.{_FILTERS['projects']}" if "projects" in names else ""
    return f"""SELECT * FROM (
        SELECT s.project_id, day.date, p.organization_id, o.tier, 1 AS rows, {values}
        FROM project_stats s JOIN {platform.PROJECTS} p ON p.id = s.project_id
        JOIN {platform.ORGANIZATIONS} o ON o.id = p.organization_id
        CROSS JOIN (SELECT n::date AS date FROM generate_series(
            CAST(:open AS timestamp), CAST(:last AS timestamp), interval '1 day') n) day
        LEFT JOIN (SELECT u.project_id, {_OPEN_DATE} AS date, count(*) AS hours{sums}
            FROM usage_hourly u WHERE u.hour >= :open_at AND u.hour < :until_at {of_projects}
                {owned if "organizations" in names else ""}
            GROUP BY 1, 2) h ON h.project_id = s.project_id AND h.date = day.date
        WHERE p.created_at < CAST(day.date AS timestamptz) + interval '1 day'
            AND (p.is_active OR h.hours > 0)) open_days
        WHERE {where(names)}"""


def open_sums(measures: Sequence[Measure], names: Sequence[str], by: str) -> str:
    """Return SQL of the open days, added up by tier and date, as JSON for `of_sums`.

    They are told apart by organization only where `by` is that: it makes a thousand rows of three.
    """
    keys = "organization_id, tier, date" if by == "organization" else "tier, date"
    sums = ", ".join(
        f"{m.aggregate}(v{i}) AS v{i}, sum(k{i}) AS k{i}, sum(e{i}) AS e{i}" for i, m in enumerate(measures)
    )
    return f"""SELECT coalesce(json_agg(sums), '[]')::text FROM (
        SELECT {keys}, sum(rows) AS rows, {sums}
        FROM ({open_days(measures, names)}) days GROUP BY {keys}) sums"""


def of_sums(measures: Sequence[Measure], condition: str = "true") -> str:
    """Return SQL of the rows in `:open_sums`, so that several statements read the open days once.

    Those of other organizations, tiers and projects than were asked for are not in them.
    """
    columns = ", ".join(f"v{i} numeric, k{i} bigint, e{i} bigint" for i in range(len(measures)))
    values = ", ".join(f"v{i}, k{i}, e{i}" for i in range(len(measures)))
    return f"""SELECT NULL::bigint AS project_id, date, organization_id, tier, rows, {values}
        FROM json_to_recordset(CAST(:open_sums AS json))
            AS r (date date, organization_id bigint, tier text, rows bigint, {columns})
        WHERE {condition}"""


LAST_DAYS = "max(date) OVER (PARTITION BY period)"
PARAMETER_LAST_DAYS = "CASE WHEN date = ANY(CAST(:ends AS date[])) THEN date END"


def grouped(
    days: Sequence[str], measures: Sequence[Measure], label: str, grain: str, ends: str = LAST_DAYS
) -> str:
    """Return SQL that adds up `days` by `label` and period; a gauge is its level on the period's last day.

    The last day is the same for every label: the last one of `days`, or of those given as `:ends`.
    """
    by_date = ", ".join(
        f"{m.aggregate}(v{i}) AS v{i}, sum(k{i}) AS k{i}, sum(e{i}) AS e{i}" for i, m in enumerate(measures)
    )
    values = ", ".join(_of_period(m, i) for i, m in enumerate(measures))
    # Each part is added up by itself: of a union PostgreSQL does so in one process, row by row.
    parts = [
        f"SELECT {label} AS label, date, sum(rows) AS rows, {by_date} FROM ({part}) part GROUP BY 1, 2"
        for part in days
    ]
    return f"""
        SELECT label, period, max(ends) AS ends, sum(rows)::bigint AS rows, {values} FROM (
            SELECT *, {ends} AS ends FROM (
                SELECT label, date, {PERIODS[grain]} AS period, sum(rows) AS rows, {by_date}
                FROM ({" UNION ALL ".join(parts)}) parts GROUP BY 1, 2) by_date) dated
        GROUP BY label, period ORDER BY period"""


def _of_period(measure: Measure, number: int) -> str:
    last = " FILTER (WHERE date = ends)" if measure.kind == "gauge" else ""
    sums = [f"sum({part}{number}){last} AS {part}{number}" for part in "ke"]
    return ", ".join([f"{measure.aggregate}(v{number}){last} AS v{number}", *sums])


def valued(days: Sequence[str], measure: Measure, label: str) -> str:
    """Return SQL of each label's `value` of the first measure over the range: NULL where it is unknown.

    A counter's sum, a gauge's level on the last day. Rows that are taken off again leave no label behind.
    """
    date = "date" if measure.kind == "gauge" else "NULL::date"
    last = " FILTER (WHERE date = ends)" if measure.kind == "gauge" else ""
    value = f"CASE WHEN sum(k0){last} > 0 THEN {measure.aggregate}(v0){last} END"
    sums = f"{measure.aggregate}(v0) AS v0, sum(k0) AS k0, sum(rows) AS rows"
    parts = [
        f"SELECT {label} AS label, {date} AS date, {sums} FROM ({part}) part GROUP BY 1, 2" for part in days
    ]
    return f"""
        SELECT label, {value} AS value FROM (
            SELECT *, max(date) OVER () AS ends FROM ({" UNION ALL ".join(parts)}) parts) dated
        GROUP BY 1 HAVING sum(rows) > 0"""


def ranked(days: Sequence[str], measure: Measure, label: str) -> str:
    """Return SQL of the labels with the largest values, unknown last, and of how many labels there are."""
    return f"""
        SELECT label, count(*) OVER () AS labels FROM ({valued(days, measure, label)}) ranked
        ORDER BY value DESC NULLS LAST, label LIMIT :top"""
