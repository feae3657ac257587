"""Corrections that are paid by another organization than the one billed for their month.

A correction is on the project's next bill, which the owner at that time pays. Where the project was moved
since, both owners are named, so that finance can divide the amount. An organization sees no other one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.history import OWNER_AT
from metering.catalogue.month_sql import first_of_month, midnight, month_of_day, next_month
from metering.catalogue.periods import Month

_MONTH_END = midnight(next_month("{0}"))
# The organization that got the bill of `m`, or while there is none the owner at the month's end.
_BILLED = f"""coalesce((SELECT m.organization_id FROM monthly_stats m WHERE m.project_id = x.project_id
    AND {first_of_month("m")} = {{0}}), {OWNER_AT.format(end=_MONTH_END)})"""

# A row for each project and month that corrections are about, in the month that they were posted to.
MOVED = f"""
    SELECT x.project_id, to_char(x.about, 'YYYY-MM') AS about, to_char(x.posted_month, 'YYYY-MM') AS month,
        x.used_by, x.billed_to, count(*) AS corrections, sum(x.amount) AS amount, max(x.currency) AS currency
    FROM (
        SELECT x.*, {_BILLED.format("x.about")} AS used_by, {_BILLED.format("x.posted_month")} AS billed_to
        FROM (SELECT *, {month_of_day("usage_date::timestamp")} AS about FROM adjustments) x
        JOIN {platform.PROJECTS} p ON p.id = x.project_id
        WHERE x.posted_month > x.usage_date AND fleetmeter_unscoped() AND {{chosen}}) x
    WHERE x.used_by <> x.billed_to GROUP BY 1, 2, 3, 4, 5"""

_OF_MONTH = text(
    f"""{
        MOVED.format(
            chosen='''(x.posted_month = :first OR x.about = :first)
    AND (CAST(:projects AS bigint[]) IS NULL OR x.project_id = ANY(:projects))'''
        )
    } ORDER BY 1, 2, 3"""
)


@dataclass(frozen=True)
class OtherOwner:
    """Corrections about the month `about` of the organization `used_by`, on a bill of `billed_to`.

    `amount` is their sum in `currency`; both are None for quantities without an amount.
    """

    project_id: int
    about: str
    month: str
    used_by: int
    billed_to: int
    corrections: int
    amount: Decimal | None
    currency: str | None

    def __str__(self) -> str:
        many = "1 correction" if self.corrections == 1 else f"{self.corrections:,} corrections"
        amount = "" if self.amount is None else f" ({self.amount:+f} {self.currency})"
        return f"project {self.project_id}: {many}{amount} about {self.about} on {self.bills}"

    @property
    def bills(self) -> str:
        """Describe whose bill it is, and whose month."""
        return (
            f"the bill of {self.month}, which goes to organization {self.billed_to}; {self.about} was that "
            f"of organization {self.used_by}"
        )


def of_month(
    connection: Connection, month: Month, project_ids: Sequence[int] | None = None
) -> list[OtherOwner]:
    """Return the corrections about `month`, or posted to it, that another owner pays, by project."""
    only = None if project_ids is None else list(project_ids)
    rows = connection.execute(_OF_MONTH, {"first": month.first.date, "projects": only})
    return [OtherOwner(**row) for row in rows.mappings()]
