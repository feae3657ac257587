"""Adjustments: what a closed month got wrong, credited or debited in an open one. Append-only.

A quantity (of a counter, positive or negative) is rated with the month that it is posted to; an
amount of money is added to that month's bill as it is. A wrong adjustment is reversed by another.
"""

from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from metering.catalogue import projects
from metering.catalogue.meters import COUNTER_NAMES
from metering.catalogue.periods import Day, Month, utc
from metering.catalogue.projects import METERED_FROM, METERED_UNTIL
from metering.db import audit_log
from metering.errors import AdjustmentRefused, MonthClosed

LARGEST = 2**62  # so that a few of them still add up in a bigint


@dataclass(frozen=True)
class Adjustment:
    """One correction: a `quantity` of a `meter`, or an `amount` of money, of the other one None."""

    project_id: int
    meter: str | None
    quantity: int | None
    amount: Decimal | None
    usage_date: date
    reason: str
    actor: str
    reverses: int | None = None
    kind: str = "correction"


def post(connection: Connection, adjustment: Adjustment, at: datetime) -> int:
    """Post into the month that runs at `at`; returns the id of the adjustment.

    Holds the project's mutex, so that the month cannot close meanwhile. Raises UnknownProject,
    AdjustmentRefused for what is no correction, MonthClosed when the running month is closed.
    """
    projects.require(connection, adjustment.project_id)
    _refuse(adjustment, at)
    projects.ensure(connection, [adjustment.project_id], at)
    projects.lock(connection, [adjustment.project_id])
    month = Month.of(utc(at))
    _refuse_closed(connection, adjustment, month)
    if adjustment.reverses is not None:
        _refuse_second_reversal(connection, adjustment)
    identity = _insert(connection, adjustment, month, at)
    _log(connection, adjustment, identity, month, at)
    return identity


def reverse(
    connection: Connection, project_id: int, adjustment_id: int, reason: str, actor: str, at: datetime
) -> int:
    """Post the opposite of an adjustment; returns its id. Raises AdjustmentRefused if there is none."""
    row = connection.execute(
        text("SELECT * FROM adjustments WHERE project_id = :project AND id = :id"),
        {"project": project_id, "id": adjustment_id},
    ).one_or_none()
    if row is None:
        raise AdjustmentRefused(f"project {project_id} has no adjustment {adjustment_id}")
    quantity = None if row.quantity is None else -row.quantity
    amount = None if row.amount is None else -row.amount
    opposite = Adjustment(
        project_id, row.meter, quantity, amount, row.usage_date, reason, actor, adjustment_id
    )
    return post(connection, opposite, at)


def _refuse(adjustment: Adjustment, at: datetime) -> None:
    quantity, amount = adjustment.quantity, adjustment.amount
    if not adjustment.reason.strip() or not adjustment.actor.strip():
        raise AdjustmentRefused("an adjustment needs a reason and an actor; say why and who")
    if adjustment.usage_date > Day.of(at).date:
        raise AdjustmentRefused(f"{adjustment.usage_date} is in the future; adjust what was used")
    by_quantity = adjustment.meter is not None and quantity is not None and amount is None
    by_amount = adjustment.meter is None and quantity is None and amount is not None
    if not by_quantity and not by_amount:
        raise AdjustmentRefused("an adjustment takes a meter with a quantity, or an amount, not both")
    if by_quantity and adjustment.meter not in COUNTER_NAMES:
        raise AdjustmentRefused(
            f"{adjustment.meter!r} is no counter; the counters are {', '.join(COUNTER_NAMES)}; "
            "correct a gauge's charge by an amount"
        )
    if not (quantity or amount):
        raise AdjustmentRefused("an adjustment of nothing changes nothing; give a quantity or an amount")
    if abs(quantity or 0) > LARGEST:
        raise AdjustmentRefused(f"a quantity of {quantity:,} is more than can be counted; the most is 2^62")
    if amount is not None and (not amount.is_finite() or amount != round(amount, 6) or abs(amount) > 10**15):
        raise AdjustmentRefused(f"{amount} is no amount of money; write it like -12.50")


def _refuse_closed(connection: Connection, adjustment: Adjustment, month: Month) -> None:
    project_id = adjustment.project_id
    query = text(f"""
        SELECT (SELECT max(make_date(year, month, 1)) FROM monthly_stats m WHERE m.project_id = p.id),
            {METERED_UNTIL} > :start, {METERED_FROM} FROM projects p WHERE p.id = :project""")
    last, metered, since = connection.execute(query, {"project": project_id, "start": month.start}).one()
    if adjustment.usage_date < since.date():
        raise AdjustmentRefused(
            f"project {project_id} was created on {since.date()}: on {adjustment.usage_date} it used nothing"
        )
    if not metered:
        raise AdjustmentRefused(f"project {project_id} was deactivated and will have no more bills")
    if last is not None and last >= month.first.date:
        raise MonthClosed(f"{month} is already closed for project {project_id}; adjust at a later date")


def _refuse_second_reversal(connection: Connection, adjustment: Adjustment) -> None:
    query = text("SELECT id FROM adjustments WHERE project_id = :project AND reverses = :id")
    done = connection.scalar(query, {"project": adjustment.project_id, "id": adjustment.reverses})
    if done is not None:
        raise AdjustmentRefused(f"adjustment {adjustment.reverses} is already reversed by {done}")


def _insert(connection: Connection, adjustment: Adjustment, month: Month, at: datetime) -> int:
    return int(
        connection.execute(
            text("""
                INSERT INTO adjustments (project_id, kind, meter, quantity, amount, usage_date,
                    posted_month, reverses, reason, actor, created_at)
                VALUES (:project_id, :kind, :meter, :quantity, :amount, :usage_date,
                    :posted_month, :reverses, :reason, :actor, :at) RETURNING id"""),
            asdict(adjustment) | {"posted_month": month.first.date, "at": at},
        ).scalar_one()
    )


def _log(connection: Connection, adjustment: Adjustment, identity: int, month: Month, at: datetime) -> None:
    after = {"id": identity, "posted_month": str(month)} | asdict(adjustment)
    reversed_row = connection.scalar(
        text("SELECT to_jsonb(a) FROM adjustments a WHERE a.project_id = :project AND a.id = :reverses"),
        {"project": adjustment.project_id, "reverses": adjustment.reverses},
    )
    subject, reason = f"project {adjustment.project_id}", adjustment.reason
    audit_log.record(connection, adjustment.actor, "adjust", subject, reversed_row, after, reason, at)
