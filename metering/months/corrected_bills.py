"""A closed month as it was billed, and as it is corrected by the adjustments posted about it since."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue.meters import COUNTER_NAMES, columns
from metering.catalogue.month_sql import first_of_month
from metering.catalogue.periods import Month
from metering.months.billed_month import VALUED
from metering.months.own_quantities import IS_OWN

# Money without a currency was posted before it had one: it is in that of the month it was posted to.
VIEWS = text(f"""
    SELECT m.*, {columns("coalesce(a.{0}, 0) AS corrected_{0}")},
        CASE WHEN a.meters IS NULL THEN m.meters ELSE fleetmeter_meters(m.meters || a.meters) END
            AS corrected_meters,
        coalesce(a.amount, 0) AS amount, coalesce(a.posted, 0) AS posted
    FROM monthly_stats m
    LEFT JOIN LATERAL (
        SELECT count(*) AS posted, sum(x.amount) FILTER (WHERE coalesce(x.currency, (
                SELECT p.currency FROM monthly_stats p WHERE p.project_id = x.project_id
                AND {first_of_month("p")} = x.posted_month), m.currency) = m.currency) AS amount,
            {columns(f"sum(x.quantity) FILTER (WHERE x.meter = '{{0}}' AND {VALUED}) AS {{0}}")},
            array_agg(jsonb_build_object(x.meter, x.quantity)) FILTER (WHERE {IS_OWN} AND {VALUED}) AS meters
        FROM adjustments x WHERE x.project_id = m.project_id AND x.posted_month > :first
            AND x.usage_date BETWEEN :first AND :last) a ON true
    WHERE m.year = :year AND m.month = :month
        AND (CAST(:projects AS bigint[]) IS NULL OR m.project_id = ANY(:projects))
    ORDER BY m.project_id""")

SINCE = text("""
    SELECT DISTINCT x.project_id FROM adjustments x
    WHERE x.posted_month > :first AND x.usage_date BETWEEN :first AND :last AND EXISTS (
        SELECT FROM monthly_stats m WHERE m.project_id = x.project_id AND (m.year, m.month) = (:year, :month))
    ORDER BY x.project_id LIMIT :most""")


def corrected_projects(connection: Connection, month: Month, most: int = 500) -> list[int]:
    """Return the projects billed in `month` that have corrections in later months, by id; at most `most`."""
    return list(connection.execute(SINCE, month.bounds() | {"most": most}).scalars())


def views(
    connection: Connection, month: Month, project_ids: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    """Return `as_billed` and `as_corrected` of each bill of `month`: meters, and `total_charge`.

    `as_corrected` adds the corrections about the month that were posted to later months, each with the
    money that it is worth: the same amounts are in the bills of the months that they were posted to.
    """
    only = None if project_ids is None else list(project_ids)
    bounds = {"first": month.first.date, "last": month.last.date, "projects": only}
    rows = connection.execute(VIEWS, bounds | {"year": month.year, "month": month.month})
    return [_view(dict(row)) for row in rows.mappings()]


def _view(row: dict[str, Any]) -> dict[str, Any]:
    billed = {name: row[name] for name in COUNTER_NAMES} | row["meters"]
    corrected = {name: row[name] + int(row[f"corrected_{name}"]) for name in COUNTER_NAMES}
    corrected |= row["corrected_meters"]
    return {
        "project_id": row["project_id"],
        "currency": row["currency"],
        "as_billed": billed | {"total_charge": row["total_charge"]},
        "as_corrected": corrected | {"total_charge": row["total_charge"] + row["amount"]},
        "adjustments": row["posted"],
    }
