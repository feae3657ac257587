"""`accept-gap` and `adjust`: an operator's decisions about the books, with a reason and a name."""

import os
from datetime import date as date_
from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from fleetmeter import environment
from fleetmeter.cli import terminal
from metering.approvals import approvals
from metering.catalogue.periods import Day
from metering.db.transactions import transaction
from metering.errors import AdjustmentRefused
from metering.months import adjustments, gaps
from metering.months.adjustment import Adjustment
from metering.pricing import plans

OUT = terminal.stdout()

Reason = Annotated[str, typer.Option(help="Why; it is kept with the decision.")]


def actor() -> str:
    """Return who is at this terminal, for the audit log."""
    return f"{os.environ.get('USER') or os.environ.get('LOGNAME') or 'cli'}@cli"


def accept_gap(gap_id: int, reason: Reason) -> None:
    """Let months close over a gap although its usage is not known."""
    settings = environment.load_or_start()
    approvals.refuse(settings, "gap")
    engine = environment.engine(settings)
    now = environment.present(settings, engine)
    with transaction(engine) as connection:
        gaps.accept(connection, gap_id, reason, actor(), now)
    OUT.print_line(f"gap {gap_id} is accepted")


def adjust(
    project: Annotated[int, typer.Option(help="The project's id.")],
    reason: Reason,
    date: Annotated[str, typer.Option(help="The day it speaks about, YYYY-MM-DD.")] = "",
    meter: Annotated[str | None, typer.Option(help="A counter, with --quantity.")] = None,
    quantity: Annotated[int | None, typer.Option(help="Units to add, or with a minus to take off.")] = None,
    amount: Annotated[str | None, typer.Option(help="Money instead, like -12.50.")] = None,
    kind: Annotated[str, typer.Option(help="correction, or late-usage.")] = "correction",
    reverse: Annotated[int | None, typer.Option(help="Post the opposite of this adjustment.")] = None,
) -> None:
    """Post a correction: a quantity of a meter, or an amount of money in the currency of its month."""
    settings = environment.load_or_start()
    approvals.refuse(settings, "adjustment")
    engine, price_plans = environment.engine(settings), plans.load(settings.plans)
    now = environment.present(settings, engine)
    with transaction(engine) as connection:
        if reverse is not None:
            if (date, meter, quantity, amount) != ("", None, None, None):
                raise AdjustmentRefused(
                    "--reverse posts the opposite of that adjustment; it takes a reason only"
                )
            adjustment_id = adjustments.reverse(
                connection, project, reverse, reason, actor(), price_plans, now
            )
        else:
            about, money = _about(date), _money(amount)
            adjustment = Adjustment(project, meter, quantity, money, about, reason, actor(), kind=_kind(kind))
            adjustment_id = adjustments.post(connection, adjustment, price_plans, now)
        description = adjustments.describe(connection, project, adjustment_id)
    OUT.print_line(f"adjustment {adjustment_id} is posted: {description}")


def _about(day: str) -> date_:
    if not day:
        raise AdjustmentRefused("name the day that the correction speaks about: --date YYYY-MM-DD")
    return Day.parse(day).date


def _kind(kind: str) -> str:
    if kind not in ("correction", "late-usage"):
        raise AdjustmentRefused(f"--kind takes correction or late-usage, not {kind!r}")
    return kind.replace("-", "_")


def _money(amount: str | None) -> Decimal | None:
    if amount is None:
        return None
    try:
        return Decimal(amount)
    except InvalidOperation as error:
        raise AdjustmentRefused(f"--amount takes money like -12.50, not {amount!r}") from error
