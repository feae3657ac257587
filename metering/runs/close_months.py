"""Close every month that is over into bills: the work of job `monthly`."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from metering.approvals import approvals
from metering.catalogue.periods import Month
from metering.days.expected_days import EXPECTED_FROM
from metering.db.transactions import transaction
from metering.months import gaps
from metering.months.close import close_month
from metering.months.due import due_months
from metering.pricing import plans
from metering.pricing.plans import Plans
from metering.runs import backfill, refresh
from metering.runs.context import Context
from metering.runs.sources import RowSource

LISTED = 20  # gaps whose charge at risk a blocked close names


WAITS = "it waits for the approval of a second person: Billing in the console (FLEETMETER_APPROVAL)"


@dataclass
class _Closing:
    """The bills that a run has closed, and what blocked the rest."""

    context: Context
    plans: Plans
    closed: int = 0
    blocked: dict[str, str] = field(default_factory=dict)
    at_risk: list[str] = field(default_factory=list)

    def close(self, month: Month) -> None:
        """Close `month` for every project, chunk by chunk."""
        for ids in self.context.chunks(f"closing {month}"):
            self.closed += self.context.run_chunk(
                ids, lambda connection, some: self._close_chunk(connection, month, some)
            )

    def _close_chunk(self, connection: Connection, month: Month, ids: list[int]) -> int:
        context = self.context
        result = close_month(connection, month, ids, self.plans, context.at, context.requested_by)
        self.blocked |= {f"{project} in {month}": reason for project, reason in result.blocked.items()}
        self.at_risk += gaps.at_risk_in(connection, month, list(result.blocked), self.plans)
        return result.closed


def run(context: Context, rows: RowSource) -> dict[str, Any]:
    """Close every month that is over, in order, after its last hours and missing days."""
    refresh.count_rows(context, rows)
    closing = _Closing(context, plans.load(context.settings.plans))
    with transaction(context.engine) as connection:
        months = due_months(connection, context.at)
    for month in months:
        backfill.fill(context, rows, month.first, month.last, EXPECTED_FROM)
        if _may_close(context, month):
            closing.close(month)
        else:
            closing.blocked[str(month)] = WAITS
    result = {
        "months": [str(month) for month in months],
        "closed": closing.closed,
        "blocked": closing.blocked,
    }
    return result | ({"charge_at_risk": closing.at_risk[:LISTED]} if closing.at_risk else {})


def _may_close(context: Context, month: Month) -> bool:
    """Return whether `month` may close; ask for a missing approval where the schedule closes it.

    A dry run needs no approval.
    """
    if "close" not in context.settings.approval or context.dry_run:
        return True
    with transaction(context.engine) as connection:
        if approvals.is_approved(connection, "close", str(month)):
            return True
        if context.requested_by == approvals.SCHEDULE:
            approvals.ask(connection, "close", str(month), approvals.SCHEDULE, context.at)
    return False
