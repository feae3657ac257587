"""A closed month as it was billed, and as it is corrected by what was posted about it since."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue.meters import COUNTER_NAMES, columns
from metering.catalogue.periods import Month
from metering.months import proration
from metering.pricing import rating
from metering.pricing.plans import PlanVersion

VIEWS = text(f"""
    SELECT m.*, v.content, averages.*, {columns("coalesce(a.{0}, 0)::bigint AS corrected_{0}")},
        coalesce(a.amount, 0) AS amount, coalesce(a.posted, 0) AS posted, a.quantities
    FROM monthly_stats m JOIN plan_versions v ON v.hash = m.plan_version
    LEFT JOIN LATERAL (
        SELECT count(*) AS posted, count(x.quantity) AS quantities, sum(x.amount) AS amount,
            {columns("sum(x.quantity) FILTER (WHERE x.meter = '{0}') AS {0}")}
        FROM adjustments x WHERE x.project_id = m.project_id AND x.posted_month > :first
            AND x.usage_date BETWEEN :first AND :last) a ON true
    CROSS JOIN LATERAL (
        SELECT {proration.AVERAGES} FROM daily_stats d
        WHERE a.quantities > 0 AND d.project_id = m.project_id AND d.date BETWEEN :first AND :last) averages
    WHERE m.year = :year AND m.month = :month
        AND (CAST(:projects AS bigint[]) IS NULL OR m.project_id = ANY(:projects))
    ORDER BY m.project_id""")

SINCE = text("""
    SELECT DISTINCT x.project_id FROM adjustments x
    WHERE x.posted_month > :first AND x.usage_date BETWEEN :first AND :last AND EXISTS (
        SELECT FROM monthly_stats m WHERE m.project_id = x.project_id AND (m.year, m.month) = (:year, :month))
    ORDER BY x.project_id LIMIT :most""")


def since(connection: Connection, month: Month, most: int = 500) -> list[int]:
    """Projects billed in `month` about which something was posted to later months, by id; at most `most`."""
    return list(connection.execute(SINCE, month.bounds() | {"most": most}).scalars())


def views(
    connection: Connection, month: Month, project_ids: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    """`as_billed` and `as_corrected` of each bill of `month`: counters, and `total_charge`.

    `as_corrected` has the adjustments about days of the month that were posted to later months:
    quantities are rated again with the month, by its own plan version, and amounts added. What they
    really cost is in the bills of the months that they were posted to.
    """
    only = None if project_ids is None else list(project_ids)
    rows = connection.execute(VIEWS, month.bounds() | {"projects": only})
    return [_view(connection, month, dict(row)) for row in rows.mappings()]


def _view(connection: Connection, month: Month, row: dict[str, Any]) -> dict[str, Any]:
    billed = {name: row[name] for name in COUNTER_NAMES} | {"total_charge": row["total_charge"]}
    corrected = {name: row[name] + row[f"corrected_{name}"] for name in COUNTER_NAMES}
    charge = _charge(connection, month, row, corrected) if row["quantities"] else row["total_charge"]
    return {
        "project_id": row["project_id"],
        "currency": row["currency"],
        "as_billed": billed,
        "as_corrected": corrected | {"total_charge": charge + row["amount"]},
        "adjustments": row["posted"],
    }


def _charge(connection: Connection, month: Month, row: dict[str, Any], corrected: dict[str, Any]) -> Decimal:
    version = PlanVersion.from_content(row["content"])
    spans = [proration.span_of(row | corrected, row["tier"])]
    if version.prorate:
        by_tier = proration.spans(connection, month, [row["project_id"]]).get(row["project_id"], [])
        spans = proration.with_adjustments(by_tier, corrected) if by_tier else spans
    charge: Decimal = rating.rate_spans(version, spans).total + row["adjustment_charge"]
    return charge
