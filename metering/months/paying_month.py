"""The month that bills an adjustment, and the money that it is worth there.

A quantity about a month that is not closed is billed with that month. One about a closed month is worth what
it changes in that month's charge, in its currency, and is billed with the running month.
"""

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from sqlalchemy import Connection, text

from metering.catalogue.month_sql import first_of_month
from metering.catalogue.periods import Month
from metering.catalogue.projects import IS_BILLED
from metering.errors import AdjustmentRefused
from metering.months import billed_month, sound_totals
from metering.months.adjustment import Adjustment
from metering.months.billed_month import BilledMonth
from metering.pricing.plans import Plans, PlanVersion


def assign(
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
