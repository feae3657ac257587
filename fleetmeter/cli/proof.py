"""`verify` and `verify-export`: prove the books, and exported files."""

from pathlib import Path
from typing import Annotated

import typer

from fleetmeter import environment
from fleetmeter.cli import output, terminal
from fleetmeter.cli.options import AsJson
from metering.proof import offline
from metering.proof.verify import Report
from metering.proof.verify import verify as verify_books

OUT = terminal.stdout()
ERR = terminal.stderr()


def verify(
    against: Annotated[
        list[Path] | None,
        typer.Option(help="An export whose seals the database must still have; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that every total is the sum of its parts and every seal is intact; exit 1 if not."""
    engine = environment.engine(environment.load())
    with output.progress(ERR) as report:
        result = verify_books(engine, report, against or ())
    _render(result, as_json)
    raise typer.Exit(0 if result.sound else 1)


def verify_export(files: list[Path]) -> None:
    """Prove exported months, and days, with nothing but their files; exit 1 if something was changed."""
    raise typer.Exit(offline.main([str(path) for path in files]))


def _render(report: Report, json_format: bool) -> None:
    """Print each law with how many rows it was checked on, then what breaks it."""
    if json_format:
        output.as_json(OUT, report.as_json())
        return
    broken = {discrepancy.law for discrepancy in report.discrepancies}
    for law, rows in report.checked.items():
        mark = "[red]broken[/red]" if law in broken else "[green]holds[/green]"
        OUT.print(f"{mark}  {law} ({rows:,} rows)")
    for discrepancy in report.discrepancies:
        OUT.print(f"  {discrepancy}", markup=False, style="red")
    OUT.print(
        "Every law holds."
        if report.sound
        else f"{len(report.discrepancies)} discrepancies; the figures above are not to be trusted."
    )
