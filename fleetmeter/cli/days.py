"""`missing` and `coverage`: days that are not sealed, and how well one was measured."""

from typing import Annotated

import typer

from fleetmeter import environment
from fleetmeter.cli import output, terminal
from fleetmeter.cli.options import AsJson, Project
from metering.catalogue import projects
from metering.catalogue.periods import Day
from metering.days import coverage, coverage_hours
from metering.db.transactions import transaction

OUT = terminal.stdout()


def missing(
    first: Annotated[str | None, typer.Option("--from", help="First day; default 30 days ago.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day; default yesterday.")] = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """List the days that are over, expected and not sealed; exit 0 whether or not there are any."""
    now = environment.now()
    start, end = output.day_range(first, last, now)
    engine = environment.engine(environment.load())
    with transaction(engine) as connection:
        projects.ids(connection, project)
        days = coverage.missing_days(connection, start, end, now, project)
    output.missing(OUT, days, start, end, as_json)


def hour_coverage(project: int, day: str, as_json: AsJson = False) -> None:
    """Print how well each hour of a project's day was measured, source by source."""
    date = Day.parse(day)
    with transaction(environment.engine(environment.load())) as connection:
        projects.require(connection, project)
        cells = coverage_hours.hours(connection, project, date, environment.now())
    output.hour_coverage(OUT, cells, as_json)
