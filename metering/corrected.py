"""A closed month as it was billed, and as it is corrected by what was posted about it since."""

from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from metering.meters import COUNTER_NAMES, columns
from metering.periods import Month

VIEWS = text(f"""
    SELECT m.project_id, m.total_charge, m.currency, {columns("m.{0}")},
        {columns("coalesce(a.{0}, 0)::bigint AS corrected_{0}")},
        coalesce(a.amount, 0) AS amount, coalesce(a.posted, 0) AS posted
    FROM monthly_stats m LEFT JOIN LATERAL (
        SELECT count(*) AS posted, sum(x.amount) AS amount,
            {columns("sum(x.quantity) FILTER (WHERE x.meter = '{0}') AS {0}")}
        FROM adjustments x WHERE x.project_id = m.project_id AND x.posted_month > :first
            AND x.usage_date BETWEEN :first AND :last) a ON true
    WHERE m.year = :year AND m.month = :month
        AND (CAST(:project AS bigint) IS NULL OR m.project_id = :project)
    ORDER BY m.project_id""")


def views(connection: Connection, month: Month, project_id: int | None = None) -> list[dict[str, Any]]:
    """`as_billed` and `as_corrected` of each bill of `month`: counters and, apart, money.

    `as_corrected` counts adjustments about days of the month that were posted to later months:
    quantities go to their counters, amounts to `credited`; quantities were charged, by their own
    month's plan, where they were posted.
    """
    bounds = {"first": month.first.date, "last": month.last.date, "project": project_id}
    rows = connection.execute(VIEWS, bounds | {"year": month.year, "month": month.month})
    return [_view(dict(row)) for row in rows.mappings()]


def _view(row: dict[str, Any]) -> dict[str, Any]:
    money: Decimal = row["total_charge"]
    billed = {name: row[name] for name in COUNTER_NAMES} | {"total_charge": money}
    corrected = {name: row[name] + row[f"corrected_{name}"] for name in COUNTER_NAMES}
    return {
        "project_id": row["project_id"],
        "currency": row["currency"],
        "as_billed": billed,
        "as_corrected": corrected | {"total_charge": money + row["amount"]},
        "adjustments": row["posted"],
    }
