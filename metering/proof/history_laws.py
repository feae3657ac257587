"""The laws of past periods: owners and tiers as they were read, history outside the bills.

A law of the readings looks at rows of form 2 and later, since older ones followed another rule, and at
periods with a reading before their end: a database that was restored has no others.
"""

from metering.catalogue import platform
from metering.catalogue.history import DAYS_OFF
from metering.catalogue.meters import columns
from metering.catalogue.month_sql import (
    after_month,
    first_of_month,
    is_in_month,
    midnight,
    month_name,
    month_of_day,
    month_of_hour,
)
from metering.catalogue.projects import (
    INSTALLED_AT,
    INSTALLED_FIRST,
    INSTALLED_MONTH,
    METERED_FROM,
    METERED_UNTIL,
)

_MONTH = month_name("m")
_MONTH_END = midnight(after_month("m"))
_DAY_END = midnight("(d.date + 1)")


_OWNED = """(SELECT project_id, organization_id, read_from,
    lead(read_from, 1, 'infinity') OVER (PARTITION BY project_id ORDER BY read_from) AS read_until
    FROM project_owners)"""
_PRICED = """(SELECT organization_id, tier, read_from,
    lead(read_from, 1, 'infinity') OVER (PARTITION BY organization_id ORDER BY read_from) AS read_until
    FROM organization_tiers)"""


def _as_read(table: str, row: str, end: str, period: str) -> str:
    """Return SQL of the rows of `table` whose owner or tier is not as last read before `end`."""
    return f"""
        SELECT {row}.project_id, {period}, 'organization_id', w.organization_id::text,
            {row}.organization_id::text
        FROM {table} {row} JOIN {_OWNED} w ON w.project_id = {row}.project_id
            AND w.read_from < {end} AND w.read_until >= {end}
        WHERE {row}.form >= 2 AND w.organization_id <> {row}.organization_id
        UNION ALL
        SELECT {row}.project_id, {period}, 'tier', t.tier, {row}.tier
        FROM {table} {row} JOIN {_PRICED} t ON t.organization_id = {row}.organization_id
            AND t.read_from < {end} AND t.read_until >= {end}
        WHERE {row}.form >= 2 AND t.tier <> {row}.tier"""


DAYS_AS_READ = _as_read("daily_stats", "d", _DAY_END, "d.date::text")
BILLS_AS_READ = _as_read("monthly_stats", "m", _MONTH_END, _MONTH)

OWNERS = f"""
    SELECT * FROM (
        SELECT m.project_id, {_MONTH}, 'owners',
            CASE WHEN days.is_divided THEN days.owners ELSE '' END AS expected,
            coalesce((SELECT string_agg(format('%s: %s days', e->>'organization_id', e->>'days'), ', '
                ORDER BY CAST(e->>'organization_id' AS bigint))
                FROM jsonb_array_elements(m.owners) e), '') AS actual
        FROM monthly_stats m CROSS JOIN LATERAL (
            SELECT bool_or(o.organization_id <> m.organization_id) AS is_divided,
                string_agg(format('%s: %s days', o.organization_id, o.days), ', '
                    ORDER BY o.organization_id) AS owners
            FROM (SELECT d.organization_id, count(*) AS days FROM daily_stats d
                WHERE d.project_id = m.project_id AND {is_in_month("d.date", "m")}
                GROUP BY d.organization_id) o) days
        WHERE m.form >= 2 AND days.owners IS NOT NULL) c
    WHERE expected <> actual"""

_UNBILLED = f"""
    SELECT u.project_id, u.month FROM (
        SELECT d.project_id, {month_of_day("d.date")} AS month FROM daily_stats d
        UNION SELECT h.project_id, {month_of_hour("h.hour")}
        FROM usage_hourly h WHERE greatest({columns("h.{0}")}) > 0 OR h.meters <> '{{}}') u
    WHERE NOT EXISTS (SELECT FROM monthly_stats m WHERE m.project_id = u.project_id
        AND (m.year, m.month) = (extract(year FROM u.month), extract(month FROM u.month)))"""

# The months before a project's first open hour in which a day was expected of it, from the installation on.
_EXPECTED = f"""
    SELECT e.project_id, e.month::date AS month FROM (
        SELECT p.id AS project_id, month, least(month + interval '1 month',
                greatest(month, {METERED_FROM}, date_trunc('day', {INSTALLED_AT}, 'UTC')))::date AS first,
            least(month + interval '1 month', s.open_from, {METERED_UNTIL})::date AS until
        FROM {platform.PROJECTS} p JOIN project_stats s ON s.project_id = p.id
        CROSS JOIN LATERAL generate_series({INSTALLED_MONTH}, s.open_from, interval '1 month') month) e
    CROSS JOIN LATERAL (SELECT e.project_id AS id) p
    WHERE e.until - e.first > {DAYS_OFF.format(first="e.first", until="e.until")}"""


def _unlisted(months: str, what: str) -> str:
    """Return SQL of the project `months` without a status."""
    return f"""
        WITH wanted AS MATERIALIZED ({months})
        SELECT u.project_id, to_char(u.month, 'YYYY-MM'), '{what}', 'listed', 'not listed'
        FROM wanted u WHERE (u.project_id, u.month) NOT IN (
            SELECT s.project_id, months.month FROM (SELECT DISTINCT month FROM wanted) months
            CROSS JOIN LATERAL fleetmeter_month_status(months.month) s)"""


UNLISTED = _unlisted(_UNBILLED, "usage without a bill")
UNLISTED_MONTHS = _unlisted(_EXPECTED, "a month in which it was metered")

UNASKED = f"""
    SELECT m.project_id, {_MONTH}, 'bill', 'history, for which nobody asked for a bill', m.seal
    FROM monthly_stats m
    WHERE m.form >= 2 AND {first_of_month("m")} < {INSTALLED_FIRST}
        AND NOT EXISTS (SELECT FROM history_to_bill b WHERE b.project_id = m.project_id
            AND b.month = {first_of_month("m")})
        AND NOT EXISTS (SELECT FROM audit_log a WHERE a.action = 'restore' AND a.subject = {_MONTH})"""

HISTORY_LAWS: dict[str, tuple[str, str]] = {
    "a day has the owner and tier last read before its end": (DAYS_AS_READ, "daily_stats"),
    "a bill goes to the owner at the month's end, by its tier": (BILLS_AS_READ, "monthly_stats"),
    "a bill names the owners of its days": (OWNERS, "monthly_stats"),
    "usage without a bill is listed": (UNLISTED, "daily_stats"),
    "a month in which a project was metered is listed": (UNLISTED_MONTHS, "project_stats"),
    "history is billed on request only": (UNASKED, "monthly_stats"),
}
