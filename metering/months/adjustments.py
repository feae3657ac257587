"""Adjustments: corrections of usage or money, posted by a person. Append-only.

A quantity about a month that is not closed is billed with that month. A quantity about a closed month is
posted as the money that it is worth (`billed_month`), in that month's currency, to the running month.
A wrong adjustment is reversed by another.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal

from sqlalchemy import Connection, text

from metering.catalogue import own_meters, platform, projects
from metering.catalogue.meters import COUNTER_NAMES
from metering.catalogue.month_sql import first_of_month
from metering.catalogue.own_meters import OwnMeter
from metering.catalogue.periods import Day, Month, utc
from metering.catalogue.projects import IS_BILLED, METERED_FROM
from metering.db import audit_log
from metering.errors import AdjustmentRefused, MonthClosed
from metering.months import billed_month, other_owner, sound_totals
from metering.months.billed_month import BilledMonth
from metering.pricing.plans import Plans, PlanVersion

LARGEST = 2**62  # so that a few of them still add up in a bigint
EVER = datetime(1970, 1, 1, tzinfo=UTC)  # also a project that left long ago gets a bill of its corrections


@dataclass(frozen=True)
class Adjustment:
    """One correction: a `quantity` of a `meter`, or an `amount` of money; the other one is None.

    `usage_date` is the day that it is about. `currency`, if given, must be that of the month it is about.
    """

    project_id: int
    meter: str | None
    quantity: int | None
    amount: Decimal | None
    usage_date: date
    reason: str
    actor: str
    reverses: int | None = None
    kind: str = "correction"
    currency: str | None = None

    @property
    def about(self) -> Month:
        """Return the month that it is about."""
        return Month.of(Day(self.usage_date).start)


def post(connection: Connection, adjustment: Adjustment, plans: Plans, at: datetime) -> int:
    """Post a correction at `at`; returns the id of the adjustment.

    Holds the project's mutex, so that its months cannot close meanwhile. Raises UnknownProject,
    AdjustmentRefused if it is not a correction or cannot be billed as it is, MonthClosed if the running
    month is closed.
    """
    projects.require(connection, adjustment.project_id)
    _refuse(adjustment, at)
    own = own_meters.by_name(connection)
    _refuse_meter(adjustment, own)
    projects.ensure(connection, [adjustment.project_id], at, since=EVER)
    projects.lock(connection, [adjustment.project_id])
    _refuse_closed(connection, adjustment, Month.of(utc(at)))
    if adjustment.reverses is not None:
        _refuse_second_reversal(connection, adjustment)
    correction, month = _assign_month(connection, adjustment, plans, Month.of(utc(at)))
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
    if not (quantity or amount):
        raise AdjustmentRefused("an adjustment of nothing changes nothing; give a quantity or an amount")
    if abs(quantity or 0) > LARGEST:
        raise AdjustmentRefused(f"a quantity of {quantity:,} is more than can be counted; the most is 2^62")
    if amount is not None and (not amount.is_finite() or abs(amount) > 10**15):
        raise AdjustmentRefused(f"{amount} is no amount of money; write it like -12.50")


def _refuse_meter(adjustment: Adjustment, own: Mapping[str, OwnMeter]) -> None:
    meter = adjustment.meter
    if meter is None or meter in COUNTER_NAMES:
        return
    if meter not in own:
        raise AdjustmentRefused(
            f"{meter!r} is no counter; the counters are {', '.join((*COUNTER_NAMES, *own))}; "
            "correct a gauge's charge by an amount"
        )
    if own[meter].aggregation == "max" and (adjustment.quantity or 0) < 0 and adjustment.reverses is None:
        raise AdjustmentRefused(
            f"of {meter} the largest quantity counts: a correction says that it was at least so large, and "
            "cannot be negative; take off a charge by an amount"
        )


def _refuse_closed(connection: Connection, adjustment: Adjustment, running: Month) -> None:
    project_id = adjustment.project_id
    query = text(f"""
        SELECT (SELECT max({first_of_month()}) FROM monthly_stats m WHERE m.project_id = p.id),
            {METERED_FROM} FROM {platform.PROJECTS} p WHERE p.id = :project""")
    last, since = connection.execute(query, {"project": project_id}).one()
    if adjustment.usage_date < since.date():
        raise AdjustmentRefused(
            f"project {project_id} was created on {since.date()}: on {adjustment.usage_date} it used nothing"
        )
    if last is not None and last >= running.first.date:
        raise MonthClosed(f"{running} is already closed for project {project_id}; adjust at a later date")


def _refuse_second_reversal(connection: Connection, adjustment: Adjustment) -> None:
    query = text("SELECT id FROM adjustments WHERE project_id = :project AND reverses = :id")
    reversal_id = connection.scalar(query, {"project": adjustment.project_id, "id": adjustment.reverses})
    if reversal_id is not None:
        raise AdjustmentRefused(f"adjustment {adjustment.reverses} is already reversed by {reversal_id}")


def _assign_month(
    connection: Connection, adjustment: Adjustment, plans: Plans, running: Month
) -> tuple[Adjustment, Month]:
    """Return the adjustment with its amount and currency, and the month that bills it."""
    about = adjustment.about
    billed = billed_month.load(connection, about, [adjustment.project_id]).get(adjustment.project_id)
    if billed is not None:
        _refuse_without_days(connection, adjustment)
        return _value_about_closed(adjustment, billed, plans.in_force(running.last.date)), running
    will_be_billed = _will_be_billed(connection, adjustment)
    if adjustment.meter is not None:
        if not will_be_billed:
            raise AdjustmentRefused(
                f"project {adjustment.project_id} has no bill of {about} and will have none: its usage is "
                "history; post an amount about the running month instead"
            )
        _refuse_without_days(connection, adjustment)
        return adjustment, about
    if not will_be_billed or not sound_totals.has_days(connection, adjustment.project_id, about):
        about = running
    return _as_money(adjustment, plans.in_force(about.last.date)), about


def _refuse_without_days(connection: Connection, adjustment: Adjustment) -> None:
    """Refuse a quantity about a month without days; a reversal takes one off that was posted before."""
    if adjustment.meter is not None and adjustment.reverses is None:
        sound_totals.refuse_without_days(connection, adjustment.project_id, adjustment.about)


def _refuse_total(
    connection: Connection, adjustment: Adjustment, month: Month, own: Mapping[str, OwnMeter]
) -> None:
    """Refuse a quantity that makes a total of `month`, which bills it, negative or too large."""
    meter, quantity = adjustment.meter, adjustment.quantity
    if meter is None or quantity is None or adjustment.amount is not None:
        return
    if meter not in own or own[meter].aggregation != "max":
        sound_totals.refuse_open(connection, adjustment.project_id, month, meter, quantity)


def _will_be_billed(connection: Connection, adjustment: Adjustment) -> bool:
    """Return whether a close may still bill the month, which has no bill: months close in order."""
    query = text(f"""
        SELECT {IS_BILLED.format(project=":project", month="CAST(:first AS date)")} AND NOT EXISTS (
            SELECT FROM monthly_stats m WHERE m.project_id = :project
            AND {first_of_month("m")} > :first)""")
    first = adjustment.about.first.date
    return bool(connection.scalar(query, {"project": adjustment.project_id, "first": first}))


def _value_about_closed(adjustment: Adjustment, billed: BilledMonth, running: PlanVersion) -> Adjustment:
    if billed.currency != running.currency:
        raise AdjustmentRefused(
            f"{billed.month} was billed in {billed.currency} and the running month is in {running.currency}: "
            "no bill takes this correction; settle it outside Fleetmeter"
        )
    if adjustment.meter in billed.largest and adjustment.reverses is not None:
        raise AdjustmentRefused(
            f"{billed.month} is closed, and the largest {adjustment.meter} of a closed month cannot become "
            "smaller; take off its charge by an amount"
        )
    if adjustment.meter is None or adjustment.quantity is None:
        return _as_money(adjustment, billed.versions.last)
    if adjustment.meter not in billed.largest:
        used = billed.used(adjustment.meter)
        sound_totals.refuse(adjustment.project_id, billed.month, adjustment.meter, used, adjustment.quantity)
    amount = billed.add(adjustment.meter, adjustment.quantity)
    return replace(adjustment, amount=amount, currency=billed.currency)


def _as_money(adjustment: Adjustment, version: PlanVersion) -> Adjustment:
    amount = adjustment.amount or Decimal(0)
    if adjustment.currency not in (None, version.currency):
        raise AdjustmentRefused(
            f"{adjustment.about} is billed in {version.currency}, not in {adjustment.currency}"
        )
    unit = Decimal(1).scaleb(-version.minor_digits)
    if adjustment.reverses is not None:  # earlier corrections could be finer; the bill rounded them
        amount = amount.quantize(unit, ROUND_HALF_UP)
    if amount != amount.quantize(unit, ROUND_HALF_UP):
        raise AdjustmentRefused(
            f"{amount} is finer than {version.currency} is billed in; the smallest amount is {unit:f}"
        )
    return replace(adjustment, amount=amount.quantize(unit, ROUND_HALF_UP), currency=version.currency)


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
