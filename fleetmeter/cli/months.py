"""`month`: how a month stands for each project, as billed and as corrected."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from fleetmeter import environment
from fleetmeter.cli import output, terminal
from fleetmeter.cli.options import AsJson, At, Project
from metering.catalogue import projects
from metering.catalogue.periods import Month
from metering.db.transactions import read_snapshot
from metering.months import corrected_bills, gaps, other_owner, owners, unapplied
from metering.pricing import plans

OUT = terminal.stdout()


def month(
    month: Annotated[str, typer.Argument(metavar="YYYY-MM")],
    project: Project = None,
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """Print a month for each project: open, blocked and why, or closed; as billed and as corrected."""
    settings, period = environment.load(), Month.parse(month)
    engine = environment.engine(settings)
    now = environment.instant(at, settings, engine)
    available = plans.load(settings.plans)
    with read_snapshot(engine) as connection:
        if project is not None:
            projects.require(connection, project)
        states = gaps.statuses(connection, period, now, available, project)
        only = None if project is None else [project]
        views = {view["project_id"]: view for view in corrected_bills.views(connection, period, only)}
        blocked = [state.project_id for state in states if state.state == "blocked"]
        at_risk = gaps.at_risk_in(connection, period, blocked, available)
        not_applied = unapplied.of_month(connection, period, available, only)
        moved = other_owner.of_month(connection, period, only)
    if as_json:
        rows = [asdict(state) | _without_id(views.get(state.project_id)) for state in states]
        result = {"month": str(period), "at": now, "projects": rows, "charge_at_risk": at_risk}
        result |= {"not_applied": [asdict(one) for one in not_applied]}
        output.as_json(OUT, result | {"other_owner": [asdict(one) for one in moved]})
        return
    rows = [_row(state, views.get(state.project_id)) for state in states]
    OUT.print(output.table(str(period), rows) if rows else f"no project was metered in {period}")
    for sentence in at_risk:
        OUT.print_line(f"at risk: {sentence}")
    for correction in (*not_applied, *moved):
        OUT.print_line(str(correction))


def _without_id(view: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (view or {}).items() if name not in ("project_id", "currency")}


def _row(state: gaps.MonthStatus, view: dict[str, Any] | None) -> dict[str, Any]:
    closed = f"by {state.closed_by} at {state.closed_at:%Y-%m-%d %H:%M} UTC" if state.closed_at else ""
    return {
        "Project": state.project_id,
        "State": state.state,
        "As billed": f"{view['as_billed']['total_charge']} {state.currency}" if view else "",
        "As corrected": f"{view['as_corrected']['total_charge']} {state.currency}" if view else "",
        "Why": _why(closed or state.reason or "", state),
    }


def _why(reason: str, state: gaps.MonthStatus) -> str:
    notes = owners.notes(state.owners, state.later_readings)
    return ". ".join(sentence for sentence in (reason, notes) if sentence)


def explain(project: int, month: str, as_json: AsJson = False) -> None:
    """Walk a closed month's charge down to its lines, days and hours, with the arithmetic."""
    from metering.months import explain as explaining  # noqa: PLC0415 - the command has the same name
    from metering.months import explanation  # noqa: PLC0415 - it needs the other

    period = Month.parse(month)
    with read_snapshot(environment.engine(environment.load())) as connection:
        explained = explaining.explain(connection, project, period)
    if as_json:
        output.as_json(OUT, explanation.as_json(explained))
        return
    for line in explanation.render(explained):
        OUT.print_line(line)
