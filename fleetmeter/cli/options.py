"""Options that several commands have, each with its help."""

from typing import Annotated

import typer

At = Annotated[str | None, typer.Option(help="Taken as now, ISO 8601 in UTC; default the clock.")]
Project = Annotated[int | None, typer.Option(help="One project instead of all.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; print what would change.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="The console's port.")]
