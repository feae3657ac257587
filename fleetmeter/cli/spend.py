"""`spend`: the cost of the running month so far, and projected to its end."""

from decimal import Decimal
from typing import Any

from fleetmeter import environment
from fleetmeter.cli import output, terminal
from fleetmeter.cli.options import AsJson, At, Project
from metering.catalogue import projects
from metering.db.transactions import transaction
from metering.pricing import plans
from metering.running import organization_spend, spend

OUT = terminal.stdout()
TITLES = {
    "project_id": "Id",
    "project": "Project",
    "organization_id": "Customer's id",
    "organization": "Customer",
    "tier": "Tier",
    "projects": "Projects",
    "so_far": "Bill so far",
    "projected": "Projected",
    "currency": "Currency",
    "overage": "Overage so far",
    "projected_overage": "Projected overage",
}


def spent(
    project: Project = None,
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """Print what the running month costs so far and at its end, by project and organization."""
    settings = environment.load()
    engine = environment.engine(settings)
    now = environment.instant(at, settings, engine)
    available = plans.load(settings.plans)
    with transaction(engine) as connection:
        if project is not None:
            projects.require(connection, project)
        by_project = spend.by_project(connection, available, now, project)
        unpriced = spend.unpriced(connection, available, now, project)
    organizations = organization_spend.by_organization(by_project)
    if as_json:
        result = {"projects": [vars(one) for one in by_project]}
        result |= {"organizations": [vars(one) for one in organizations], "unpriced": unpriced}
        output.as_json(OUT, {"at": now, "assumption": spend.ASSUMPTION, **result})
        return
    OUT.print(output.table("Projects", [_titled(vars(one)) for one in by_project]))
    OUT.print(output.table("Organizations", [_titled(vars(one)) for one in organizations]))
    total = sum((one.so_far for one in organizations), Decimal(0))
    projected = organization_spend.projected_sum(by_project)
    words = "not projected yet" if projected is None else f"projected {projected:,}"
    OUT.print_line(f"so far {total:,}, {words}: {spend.ASSUMPTION}")
    for row in unpriced:
        OUT.print_line(f"project {row['project_id']} has no price: tier {row['tier']!r} is in no plan")


def _titled(row: dict[str, Any]) -> dict[str, Any]:
    return {TITLES[name]: value for name, value in row.items()}
