"""Bills added up by month, tier and organization, each currency by itself; and what changed between months.

"As corrected" is a bill with the amounts posted about its month to later ones (`corrected_bills`).
The bills of those later months hold the same amounts, so that months as corrected do not add up to a year.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.month_sql import first_of_month, next_month
from metering.catalogue.periods import Month

By = Literal["total", "tier", "organization", "project"]
Row = Mapping[str, Any]

_KEYS: Mapping[By, str] = {
    "total": "''",
    "tier": "m.tier",
    "organization": "m.organization_id::text",
    "project": "m.project_id::text",
}

# Money without a currency was posted before it had one: it is in that of the month it was posted to.
_SUMS = f"""
    WITH wanted (year, month) AS (SELECT * FROM unnest(CAST(:years AS int[]), CAST(:months AS int[]))),
    bills AS (
        SELECT m.*, {first_of_month("m")} AS first
        FROM monthly_stats m JOIN wanted USING (year, month)
        WHERE CAST(:organization AS bigint) IS NULL OR m.organization_id = :organization),
    later AS (
        SELECT b.project_id, b.first, sum(x.amount) AS amount FROM bills b
        JOIN adjustments x ON x.project_id = b.project_id AND x.usage_date >= b.first
            AND x.usage_date < {next_month("b.first")} AND x.posted_month > b.first
        LEFT JOIN monthly_stats p ON p.project_id = x.project_id
            AND (p.year, p.month) = (extract(year FROM x.posted_month), extract(month FROM x.posted_month))
        WHERE coalesce(x.currency, p.currency, b.currency) = b.currency GROUP BY b.project_id, b.first)
    SELECT sums.*, o.name AS organization FROM (
        SELECT m.first, {{key}} AS key, m.currency, count(*) AS bills, sum(m.plan_fee) AS plan_fee,
            sum(m.overage_charge) AS overage_charge, sum(m.adjustment_charge) AS adjustment_charge,
            sum(m.total_charge) AS as_billed,
            sum(m.total_charge) + coalesce(sum(later.amount), 0) AS as_corrected
        FROM bills m LEFT JOIN later ON (later.project_id, later.first) = (m.project_id, m.first)
        GROUP BY m.first, key, m.currency) sums
    LEFT JOIN {platform.ORGANIZATIONS} o ON :named AND o.id::text = sums.key
    ORDER BY sums.first, sums.as_billed DESC, sums.key"""

# Plan fees, overage by meter, and adjustments of two months.
_CHANGES = text("""
    SELECT part.key, m.currency, sum(part.amount) FILTER (WHERE m.month = :month) AS amount,
        sum(part.amount) FILTER (WHERE m.month <> :month) AS before
    FROM monthly_stats m CROSS JOIN LATERAL (
        SELECT 'plan_fee' AS key, m.plan_fee AS amount
        UNION ALL SELECT 'adjustments', m.adjustment_charge
        UNION ALL SELECT line->>'meter', (line->>'charge')::numeric
            FROM jsonb_array_elements(m.exceeded_limits) AS line) part
    WHERE m.organization_id = :organization
        AND (m.year, m.month) IN ((:year, :month), (:year_before, :month_before))
    GROUP BY part.key, m.currency""")


def sum_bills(
    connection: Connection, months: Sequence[Month], by: By = "total", organization_id: int | None = None
) -> list[Row]:
    """Return the bills of `months` added up: a row for each month, key of `by`, and currency.

    A row has `month`, `key` (a tier, an id as text, or nothing), the `organization`'s name, `bills`, the
    parts of the charge, `as_billed` and `as_corrected`. Months without a bill have no row.
    """
    parameters = {
        "years": [month.year for month in months],
        "months": [month.month for month in months],
        "organization": organization_id,
        "named": by == "organization",
    }
    rows = connection.execute(text(_SUMS.format(key=_KEYS[by])), parameters).mappings()
    return [{**row, "month": Month(row["first"].year, row["first"].month)} for row in rows]


def changes(connection: Connection, organization_id: int, month: Month) -> list[Row]:
    """Compare an organization's bills of a month with those of the month before.

    A row for each `key` (`plan_fee`, a meter whose overage is charged, `adjustments`) and currency, with its
    `amount`, the amount `before` and the `change`; the greatest change first.
    """
    before = month.previous()
    parameters = {"year": month.year, "month": month.month, "organization": organization_id}
    parameters |= {"year_before": before.year, "month_before": before.month}
    rows = [dict(row) for row in connection.execute(_CHANGES, parameters).mappings()]
    for row in rows:
        row["change"] = (row["amount"] or 0) - (row["before"] or 0)
    moved = [row for row in rows if row["amount"] or row["before"]]
    return sorted(moved, key=lambda row: (-abs(row["change"]), row["key"]))


def last_months(month: Month, count: int) -> list[Month]:
    """Return `count` months up to `month`, in order."""
    months = [month]
    while len(months) < count:
        months.append(months[-1].previous())
    return months[::-1]
