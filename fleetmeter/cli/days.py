"""`missing` and `coverage`: days that are not sealed, and how well one was measured."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from fleetmeter import environment
from fleetmeter.cli import output, terminal
from fleetmeter.cli.options import AsJson, Project, day_range
from metering.catalogue import projects
from metering.catalogue.periods import Day
from metering.days import coverage_hours, expected_days
from metering.days.coverage_hours import HourCell
from metering.days.expected_days import MissingDay
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
    start, end = day_range(first, last, now)
    engine = environment.engine(environment.load())
    with transaction(engine) as connection:
        projects.ids(connection, project)
        days = expected_days.missing_days(connection, start, end, now, project)
    _render_missing(days, start, end, as_json)


def hour_coverage(project: int, day: str, as_json: AsJson = False) -> None:
    """Print how well each hour of a project's day was measured, source by source."""
    date = Day.parse(day)
    with transaction(environment.engine(environment.load())) as connection:
        projects.require(connection, project)
        cells = coverage_hours.hours(connection, project, date, environment.now())
    _render_hours(cells, as_json)


def _render_missing(days: list[MissingDay], first: Day, last: Day, json_format: bool) -> None:
    """Print the missing days, a row for each."""
    rows = [dataclasses.asdict(day) for day in days]
    if json_format:
        output.as_json(OUT, {"from": str(first), "to": str(last), "missing": rows})
    elif rows:
        OUT.print(output.table(f"{len(rows)} missing days, {first} to {last}", rows))
        OUT.print("Repair them with: fleetmeter backfill --from DAY --to DAY [--project ID]")
    else:
        OUT.print(f"No day is missing from {first} to {last}.")


def _render_hours(cells: Sequence[HourCell], json_format: bool) -> None:
    """Print a row for each hour, a column for each source: its state, and the reason if there is one."""
    if json_format:
        output.as_json(OUT, [dataclasses.asdict(cell) for cell in cells])
        return
    rows: dict[datetime, dict[str, object]] = {}
    for cell in cells:
        reason = cell.detail.get("reason")
        row = rows.setdefault(cell.hour, {"hour": f"{cell.hour:%Y-%m-%d %H:%M}Z"})
        row[cell.source] = f"{cell.state}: {reason}" if reason else cell.state
    OUT.print(
        output.table("coverage", list(rows.values())) if rows else "The project was not metered on that day."
    )
