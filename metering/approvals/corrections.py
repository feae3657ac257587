"""Corrections and gaps that need approval: ask for it, and carry out the approved ones."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection

from metering.approvals import approvals
from metering.approvals.approvals import Approval
from metering.months import adjustments, gaps
from metering.months.adjustment import Adjustment
from metering.pricing.plans import Plans


def ask_adjustment(connection: Connection, adjustment: Adjustment, plans: Plans, at: datetime) -> int:
    """Ask for an adjustment by its actor; returns the approval's id.

    Raises what posting it now would raise: AdjustmentRefused, MonthClosed, UnknownProject.
    """
    _try(connection, lambda: adjustments.post(connection, adjustment, plans, at))
    arguments = {
        "project_id": adjustment.project_id,
        "meter": adjustment.meter,
        "quantity": adjustment.quantity,
        "amount": None if adjustment.amount is None else str(adjustment.amount),
        "usage_date": str(adjustment.usage_date),
    }
    return approvals.ask(
        connection,
        "adjustment",
        f"project {adjustment.project_id}",
        adjustment.actor,
        at,
        arguments,
        adjustment.reason,
    )


def ask_reversal(
    connection: Connection,
    project_id: int,
    adjustment_id: int,
    reason: str,
    actor: str,
    plans: Plans,
    at: datetime,
) -> int:
    """Ask for the opposite of an adjustment; returns the approval's id. Raises AdjustmentRefused."""
    _try(
        connection,
        lambda: adjustments.reverse(connection, project_id, adjustment_id, reason, actor, plans, at),
    )
    arguments = {"project_id": project_id, "reverses": adjustment_id}
    return approvals.ask(connection, "adjustment", f"project {project_id}", actor, at, arguments, reason)


def ask_gap(connection: Connection, gap_id: int, reason: str, actor: str, at: datetime) -> int:
    """Ask for a gap to be accepted; returns the approval's id. Raises UnknownGap."""
    _try(connection, lambda: gaps.accept(connection, gap_id, reason, actor, at))
    return approvals.ask(connection, "gap", f"gap {gap_id}", actor, at, {"gap": gap_id}, reason)


def carry_out(connection: Connection, approval: Approval, plans: Plans, at: datetime) -> int | None:
    """Carry out an approved action in the name of the person who asked; returns an adjustment's id.

    The close of a month is left to job `monthly`. Raises what the action raises: nothing is decided then.
    """
    values, reason, actor = approval.arguments, approval.reason or "", approval.asked_by
    if approval.action == "gap":
        gaps.accept(connection, values["gap"], reason, actor, at)
    if approval.action != "adjustment":
        return None
    if "reverses" in values:
        opposite = (values["project_id"], values["reverses"], reason, actor, plans, at)
        return adjustments.reverse(connection, *opposite)
    return adjustments.post(connection, _adjustment(approval), plans, at)


def _adjustment(approval: Approval) -> Adjustment:
    values = approval.arguments
    return Adjustment(
        values["project_id"],
        values["meter"],
        values["quantity"],
        None if values["amount"] is None else Decimal(values["amount"]),
        date.fromisoformat(values["usage_date"]),
        approval.reason or "",
        approval.asked_by,
    )


def _try(connection: Connection, action: Callable[[], object]) -> None:
    """Try an action and roll it back, so that nobody is asked about one that would be refused."""
    with connection.begin_nested() as savepoint:
        action()
        savepoint.rollback()
