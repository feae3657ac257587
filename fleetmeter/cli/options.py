"""Options that several commands have, each with its help."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from metering.catalogue.periods import Day
from metering.errors import PeriodError

At = Annotated[str | None, typer.Option(help="Taken as now, ISO 8601 in UTC; default the clock.")]
Project = Annotated[int | None, typer.Option(help="One project instead of all.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; print what would change.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="The console's port.")]


def day_range(first: str | None, last: str | None, now: datetime) -> tuple[Day, Day]:
    """Return the days of `--from` and `--to`: by default the thirty days before today.

    Raises PeriodError if they are in the wrong order.
    """
    end = Day.parse(last) if last else Day.of(now).previous()
    start = Day.parse(first) if first else Day.of(end.start - timedelta(days=29))
    if start > end:
        raise PeriodError(f"--from {start} is after --to {end}")
    return start, end
