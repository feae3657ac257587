"""Corrections that no bill takes: their currency is not that of the month they were posted to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue.month_sql import first_of_month
from metering.catalogue.periods import Month
from metering.pricing.plans import Plans

# Posted to the month or about it; `billed_in` is NULL while the month that pays is not closed.
CORRECTIONS = text(f"""
    SELECT x.project_id, x.id, x.meter, x.quantity, x.amount, x.currency, x.usage_date, x.posted_month,
        m.currency AS billed_in
    FROM adjustments x LEFT JOIN monthly_stats m ON m.project_id = x.project_id
        AND {first_of_month("m")} = x.posted_month
    WHERE (x.posted_month = :first OR x.usage_date BETWEEN :first AND :last)
        AND x.currency IS NOT NULL AND x.currency IS DISTINCT FROM m.currency
        AND (CAST(:projects AS bigint[]) IS NULL OR x.project_id = ANY(:projects))
    ORDER BY x.project_id, x.id""")


@dataclass(frozen=True)
class UnappliedCorrection:
    """A correction that is kept with its worth and is in no bill."""

    project_id: int
    id: int
    meter: str | None
    quantity: int | None
    amount: Decimal
    currency: str
    usage_date: date
    posted_month: date
    billed_in: str

    def __str__(self) -> str:
        usage = f"{self.quantity:+,} {self.meter}, " if self.meter else ""
        return (
            f"project {self.project_id}: adjustment {self.id} about {self.usage_date} ({usage}"
            f"{self.amount:+f} {self.currency}) is not applied: {self.posted_month:%Y-%m} is billed in "
            f"{self.billed_in}"
        )


def of_month(
    connection: Connection, month: Month, plans: Plans, project_ids: Sequence[int] | None = None
) -> list[UnappliedCorrection]:
    """Return the corrections about `month`, or posted to it, that are in no bill."""
    parameters: dict[str, Any] = {"first": month.first.date, "last": month.last.date}
    parameters |= {"projects": None if project_ids is None else list(project_ids)}
    rows = connection.execute(CORRECTIONS, parameters).mappings()
    corrections = [
        UnappliedCorrection(**{**row, "billed_in": row["billed_in"] or _currency(row, plans)}) for row in rows
    ]
    return [one for one in corrections if one.currency != one.billed_in]


def _currency(row: Mapping[Any, Any], plans: Plans) -> str:
    posted_month = row["posted_month"]
    return plans.in_force(Month(posted_month.year, posted_month.month).last.date).currency
