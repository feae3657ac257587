"""The billing actions of people: corrections, reversals, gaps, closes, and decisions on them."""

from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import text

from console.data.transactions import write_transaction
from jobs import queue
from metering.approvals import approvals, corrections
from metering.config.settings import current_settings
from metering.db.transactions import advisory_lock
from metering.months import adjustments, gaps
from metering.months.adjustment import Adjustment
from metering.months.due import due_months
from metering.pricing import plans
from metering.runs.requests import Request

DUPLICATE_ADJUSTMENT = text("""
    SELECT id FROM adjustments WHERE project_id = :project_id AND actor = :actor AND reason = :reason
        AND usage_date = :usage_date AND meter IS NOT DISTINCT FROM CAST(:meter AS text)
        AND quantity IS NOT DISTINCT FROM CAST(:quantity AS bigint)
        AND (meter IS NOT NULL OR amount IS NOT DISTINCT FROM CAST(:amount AS numeric))
        AND reverses IS NULL AND created_at > CAST(:at AS timestamptz) - interval '1 minute'
    ORDER BY id DESC LIMIT 1""")
DUPLICATE_REVERSAL = text("""
    SELECT id FROM adjustments WHERE project_id = :project_id AND reverses = :reverses AND actor = :actor
        AND created_at > CAST(:at AS timestamptz) - interval '1 minute'""")


class Posting(NamedTuple):
    """The id of a new adjustment, or of the approval that it waits for."""

    id: int
    waits: bool = False


def accept_gap(gap: int, reason: str, at: datetime) -> None:
    """Let months close over a gap, or ask a second person to. Raises UnknownGap, also without a reason."""
    with write_transaction("admin") as by:
        at = by.agreed(at)
        if "gap" in current_settings().approval:
            corrections.ask_gap(by.connection, gap, reason, by.actor, at)
        else:
            gaps.accept(by.connection, gap, reason, by.actor, at)


def adjust(
    project_id: int,
    meter: str | None,
    quantity: int | None,
    amount: Decimal | None,
    about: date,
    reason: str,
    at: datetime,
) -> Posting:
    """Post a correction into the running month, or ask a second person to.

    Raises AdjustmentRefused and its subclasses. The same values from the same person within a minute
    return the first adjustment.
    """
    with write_transaction("admin") as by:
        at = by.agreed(at)
        adjustment = Adjustment(project_id, meter, quantity, amount, about, reason, by.actor)
        advisory_lock(by.connection, "adjust")
        before = by.connection.scalar(DUPLICATE_ADJUSTMENT, vars(adjustment) | {"at": at})
        offered = plans.load(current_settings().plans)
        if "adjustment" in current_settings().approval and before is None:
            return Posting(corrections.ask_adjustment(by.connection, adjustment, offered, at), True)
        return Posting(before or adjustments.post(by.connection, adjustment, offered, at))


def reverse(project_id: int, adjustment: int, reason: str, at: datetime) -> Posting:
    """Post the opposite of an adjustment, or ask a second person to. Raises AdjustmentRefused."""
    with write_transaction("admin") as by:
        at = by.agreed(at)
        advisory_lock(by.connection, "adjust")
        parameters = {"project_id": project_id, "reverses": adjustment, "actor": by.actor, "at": at}
        before = by.connection.scalar(DUPLICATE_REVERSAL, parameters)
        opposite = (project_id, adjustment, reason, by.actor, plans.load(current_settings().plans), at)
        if "adjustment" in current_settings().approval and before is None:
            return Posting(corrections.ask_reversal(by.connection, *opposite), True)
        return Posting(before or adjustments.reverse(by.connection, *opposite))


def ask_close(at: datetime) -> list[str]:
    """Ask a second person to approve the close of every month that is over; return the months."""
    with write_transaction("admin") as by:
        at = by.agreed(at)
        months = [str(month) for month in due_months(by.connection, at)]
        for month in months:
            if not approvals.is_approved(by.connection, "close", month):
                approvals.ask(by.connection, "close", month, by.actor, at)
    return months


def decide(approval: int, approve: bool, note: str, at: datetime) -> None:
    """Approve the request of another person and carry it out, or refuse it.

    Raises ApprovalRefused for the person who asked, and the errors of the action: then nothing is decided.
    """
    with write_transaction("admin") as by:
        at = by.agreed(at)
        decided = approvals.decide(by.connection, approval, approve, by.actor, at, note)
        if not approve:
            return
        corrections.carry_out(by.connection, decided, plans.load(current_settings().plans), at)
        if decided.action == "close":
            period = queue.find("monthly").period(at, {})
            queue.enqueue(by.connection, Request("monthly", period, at, "console", by.actor))
