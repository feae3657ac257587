"""Adjustments: corrections of usage or money, posted by a person. Append-only.

A quantity about a month that is not closed is billed with that month. A quantity about a closed month is
posted as the money that it is worth (`paying_month`), in that month's currency, to the running month.
A wrong adjustment is reversed by another.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from metering.catalogue import own_meters, platform, projects
from metering.catalogue.own_meters import OwnMeter
from metering.catalogue.periods import Month, utc
from metering.catalogue.projects import BILLED_UNTIL, METERED_FROM
from metering.db import audit_log
from metering.errors import AdjustmentRefused, MonthClosed
from metering.months import other_owner, paying_month, sound_totals
from metering.months.adjustment import Adjustment, refuse_meter, refuse_unclear
from metering.pricing.plans import Plans

EVER = datetime(1970, 1, 1, tzinfo=UTC)  # also a project that left long ago gets a bill of its corrections


def post(connection: Connection, adjustment: Adjustment, plans: Plans, at: datetime) -> int:
    """Post a correction at `at`; returns the id of the adjustment.

    Holds the project's mutex, so that its months cannot close meanwhile. Raises UnknownProject,
    AdjustmentRefused if it is not a correction or cannot be billed as it is, MonthClosed if the running
    month is closed.
    """
    projects.require(connection, adjustment.project_id)
    refuse_unclear(adjustment, at)
    own = own_meters.by_name(connection)
    refuse_meter(adjustment, own)
    projects.ensure(connection, [adjustment.project_id], at, since=EVER)
    projects.lock(connection, [adjustment.project_id])
    _refuse_closed(connection, adjustment, Month.of(utc(at)))
    if adjustment.reverses is not None:
        _refuse_second_reversal(connection, adjustment)
    correction, month = paying_month.assign(connection, adjustment, plans, Month.of(utc(at)))
    _refuse_total(connection, correction, month, own)
    identity = _insert(connection, correction, month, at)
    _log(connection, correction, identity, month, at)
    return identity


def reverse(
    connection: Connection,
    project_id: int,
    adjustment_id: int,
    reason: str,
    actor: str,
    plans: Plans,
    at: datetime,
) -> int:
    """Post the opposite of an adjustment; returns its id. Raises AdjustmentRefused if there is none.

    The opposite of a quantity is valued like any other correction of the month that billed it.
    """
    row = connection.execute(
        text("SELECT * FROM adjustments WHERE project_id = :project AND id = :id"),
        {"project": project_id, "id": adjustment_id},
    ).one_or_none()
    if row is None:
        raise AdjustmentRefused(f"project {project_id} has no adjustment {adjustment_id}")
    quantity = None if row.quantity is None else -row.quantity
    amount = -row.amount if row.quantity is None else None
    about = row.usage_date
    if row.quantity is not None and row.amount is None:  # it was billed with the month it was posted to
        about = max(about, row.posted_month)
    opposite = Adjustment(project_id, row.meter, quantity, amount, about, reason, actor, adjustment_id)
    return post(connection, opposite, plans, at)


def describe(connection: Connection, project_id: int, adjustment_id: int) -> str:
    """Describe the change by a posted adjustment: the bill, and the amount if it is known."""
    query = text("""SELECT amount, currency, to_char(posted_month, 'YYYY-MM') AS month,
        to_char(usage_date, 'YYYY-MM') AS about FROM adjustments WHERE project_id = :project AND id = :id""")
    row = connection.execute(query, {"project": project_id, "id": adjustment_id}).one()
    if row.amount is None:
        return f"it is rated with {row.month}, which is not closed"
    moved = other_owner.of_month(connection, Month.parse(row.about), [project_id])
    bills = {one.month: one.bills for one in moved if one.about == row.about}
    return f"{row.amount:+f} {row.currency} on {bills.get(row.month, f'the bill of {row.month}')}"


def _refuse_closed(connection: Connection, adjustment: Adjustment, running: Month) -> None:
    project_id = adjustment.project_id
    query = text(f"""
        SELECT {BILLED_UNTIL.format(project="p.id")}, {METERED_FROM}
        FROM {platform.PROJECTS} p WHERE p.id = :project""")
    billed_until, since = connection.execute(query, {"project": project_id}).one()
    if adjustment.usage_date < since.date():
        raise AdjustmentRefused(
            f"project {project_id} was created on {since.date()}: on {adjustment.usage_date} it used nothing"
        )
    if billed_until is not None and billed_until > running.first.date:
        raise MonthClosed(f"{running} is already closed for project {project_id}; adjust at a later date")


def _refuse_second_reversal(connection: Connection, adjustment: Adjustment) -> None:
    query = text("SELECT id FROM adjustments WHERE project_id = :project AND reverses = :id")
    reversal_id = connection.scalar(query, {"project": adjustment.project_id, "id": adjustment.reverses})
    if reversal_id is not None:
        raise AdjustmentRefused(f"adjustment {adjustment.reverses} is already reversed by {reversal_id}")


def _refuse_total(
    connection: Connection, adjustment: Adjustment, month: Month, own: Mapping[str, OwnMeter]
) -> None:
    """Refuse a quantity that makes a total of `month`, which bills it, negative or too large."""
    meter, quantity = adjustment.meter, adjustment.quantity
    if meter is None or quantity is None or adjustment.amount is not None:
        return
    if meter not in own or own[meter].aggregation != "max":
        sound_totals.refuse_open(connection, adjustment.project_id, month, meter, quantity)


def _insert(connection: Connection, adjustment: Adjustment, month: Month, at: datetime) -> int:
    return int(
        connection.execute(
            text("""
                INSERT INTO adjustments (project_id, kind, meter, quantity, amount, currency, usage_date,
                    posted_month, reverses, reason, actor, created_at)
                VALUES (:project_id, :kind, :meter, :quantity, :amount, :currency, :usage_date,
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
