"""`spend`: what the running month costs so far, and what it will cost if it goes on like this."""

from decimal import Decimal
from typing import Annotated

import typer

from fleetmeter import environment
from fleetmeter.cli import output, terminal
from metering.catalogue import projects
from metering.db.transactions import transaction
from metering.pricing import plans
from metering.running import spend

OUT = terminal.stdout()


def spent(
    project: Annotated[int | None, typer.Option(help="One project instead of all.")] = None,
    at: Annotated[str | None, typer.Option(help="Taken as now, ISO 8601 in UTC; default the clock.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What the running month costs: so far, and projected to its end, by project and organization."""
    found = environment.load()
    engine = environment.engine(found)
    now = environment.instant(at, found, engine)
    offered = plans.load(found.plans)
    with transaction(engine) as connection:
        if project is not None:
            projects.require(connection, project)
        by_project = spend.by_project(connection, offered, now, project)
        unpriced = spend.unpriced(connection, offered, now, project)
    organizations = spend.by_organization(by_project)
    if as_json:
        shown = {"projects": [vars(one) for one in by_project]}
        shown |= {"organizations": [vars(one) for one in organizations], "unpriced": unpriced}
        output.as_json(OUT, {"at": now, "assumption": spend.ASSUMPTION, **shown})
        return
    OUT.print(output.table("Projects", [vars(one) for one in by_project]))
    OUT.print(output.table("Organizations", [vars(one) for one in organizations]))
    total = sum((one.so_far for one in organizations), Decimal(0))
    projected = sum((one.projected for one in organizations), Decimal(0))
    OUT.print_line(f"so far {total:,}, projected {projected:,}: {spend.ASSUMPTION}")
    for row in unpriced:
        told = f"project {row['project_id']} has no price: tier {row['tier']!r} is in no plan"
        OUT.print_line(told)
