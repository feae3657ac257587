"""`budget`: limits in money of a customer's or a project's month, on the projected charge."""

from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer

from fleetmeter import environment
from fleetmeter.cli import corrections, output, terminal
from fleetmeter.cli.options import AsJson, At
from metering.catalogue import quantities
from metering.db.transactions import transaction
from metering.errors import BudgetRefused
from metering.organizations import budgets
from metering.organizations.budgets import Budget
from metering.pricing import plans

app = typer.Typer(
    invoke_without_command=True, help="Budgets: list them beside the projected charge, set one, remove one."
)
OUT = terminal.stdout()

Organization = Annotated[int | None, typer.Option(help="The organization's id: all its projects.")]
Project = Annotated[int | None, typer.Option(help="The project's id.")]


@app.callback()
def listed(context: typer.Context, at: At = None, as_json: AsJson = False) -> None:
    """List budgets beside what the running month costs so far and is projected to cost."""
    if context.invoked_subcommand is None:
        _listed(at, as_json)


@app.command("list")
def list_(at: At = None, as_json: AsJson = False) -> None:
    """List budgets beside what the running month costs so far and is projected to cost."""
    _listed(at, as_json)


def _listed(at: str | None, as_json: bool) -> None:
    settings = environment.load()
    engine = environment.engine(settings)
    now = environment.instant(at, settings, engine)
    with transaction(engine) as connection:
        every_budget = budgets.compare(connection, plans.load(settings.plans), now)
    if as_json:
        output.as_json(OUT, [asdict(budget) | {"percent": budget.percent} for budget in every_budget])
        return
    rows = [_row(budget) for budget in every_budget]
    OUT.print(output.table("Budgets of a month", rows) if rows else "no budget is set")


def _row(budget: Budget) -> dict[str, Any]:
    of_project = budget.project_id is not None
    identity = budget.project_id if of_project else budget.organization_id
    other = budget.currency != budget.billed_in
    percent = None if budget.percent is None else f"{budget.percent:,} %"
    return {
        "of": f"{'project' if of_project else 'organization'} {identity}",
        "name": (budget.project if of_project else budget.organization) or "",
        "budget": quantities.money(budget.amount, budget.currency),
        "so far": quantities.money(budget.so_far, budget.billed_in),
        "projected": quantities.money(budget.projected, budget.billed_in),
        "projected share": f"not compared: billed in {budget.billed_in}" if other else percent,
    }


@app.command("set")
def set_budget(
    amount: Annotated[str, typer.Option(help="The budget of a month, like 500 or 99.90.")],
    currency: Annotated[str, typer.Option(help="The plan's currency, like USD.")],
    organization: Organization = None,
    project: Project = None,
) -> None:
    """Set the budget of an organization or a project, in place of an earlier one."""
    settings = environment.load_or_start()
    engine = environment.engine(settings)
    now = environment.present(settings, engine)
    with transaction(engine) as connection:
        price_plans = plans.load(settings.plans)
        money = _money(amount)
        budgets.save(
            connection, price_plans, now, money, currency, corrections.actor(), organization, project
        )
    owner = f"project {project}" if project is not None else f"organization {organization}"
    OUT.print_line(f"the budget of {owner} is {quantities.money(money, currency)} a month")


@app.command("remove")
def remove(organization: Organization = None, project: Project = None) -> None:
    """Take away the budget of an organization or a project."""
    with transaction(environment.engine(environment.load_or_start())) as connection:
        budgets.remove(connection, corrections.actor(), organization, project)
    owner = f"project {project}" if project is not None else f"organization {organization}"
    OUT.print_line(f"{owner} has no budget any more")


def _money(amount: str) -> Decimal:
    try:
        return Decimal(amount)
    except InvalidOperation as error:
        raise BudgetRefused(f"--amount takes money like 99.90, not {amount!r}") from error
