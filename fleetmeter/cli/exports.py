"""`fleetmeter export …`: bills, days, adjustments and the audit log as CSV or Parquet."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection, text

from fleetmeter import environment
from fleetmeter.cli import terminal
from fleetmeter.cli.options import day_range
from metering.catalogue.periods import Day, Month
from metering.db.audit_log import Filter
from metering.db.transactions import read_snapshot
from metering.exports import manifest
from metering.exports.csv_format import Style
from metering.exports.export import Export
from metering.exports.write import write

NAMED = 20  # projects without a bill that a notice names

app = typer.Typer(no_args_is_help=True, help="Write tables for others to read.")

Format = Annotated[str, typer.Option("--format", help="csv, json or parquet.")]
Output = Annotated[Path | None, typer.Option(help="A file; default: standard output.")]
Separator = Annotated[str, typer.Option(help="Between cells; a semicolon where the comma is decimal.")]
Decimal = Annotated[str, typer.Option(help="The decimal sign of money.")]
Bom = Annotated[bool, typer.Option("--bom", help="Mark the file as UTF-8 for older spreadsheets.")]
OfMonth = Annotated[str, typer.Option(help="The month, YYYY-MM.")]


@app.command()
def monthly(
    month: OfMonth,
    file_format: Format = "csv",
    output: Output = None,
    separator: Separator = ",",
    decimal: Decimal = ".",
    bom: Bom = False,
) -> None:
    """Export the bills of a closed month: one header, one row for each project, nothing else."""
    period, style = Month.parse(month), Style.of(separator, decimal, bom)
    with read_snapshot(environment.engine(environment.load())) as connection:
        _write(connection, Export.for_month(period), file_format, output, style)
        notice = _unbilled(connection, period, environment.now())
    if notice:  # on standard error, so that the file stays the file
        terminal.stderr().print_line(notice)


def _unbilled(connection: Connection, month: Month, at: datetime) -> str | None:
    query = text("""SELECT project_id, state, reason FROM fleetmeter_month_status(:month, :at)
        WHERE state <> 'closed' ORDER BY project_id""")
    rows = connection.execute(query, {"month": month.first.date, "at": at}).all()
    pending = [row for row in rows if row.state != "history"]
    notice = [
        f"{month}: {len(pending):,} without a bill yet, and so without a row; see: fleetmeter month {month}"
    ]
    notice += [f"project {row.project_id}: {row.state}, {row.reason}" for row in pending[:NAMED]]
    notice += [f"and {len(pending) - NAMED:,} more"] if pending[NAMED:] else []
    history = len(rows) - len(pending)
    past = (
        [f"{month}: {history:,} with history before the installation, which is not billed"] if history else []
    )
    return "\n".join([*(notice if pending else []), *past]) or None


@app.command()
def daily(
    first: Annotated[str | None, typer.Option("--from", help="First day; default 30 days ago.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day; default yesterday.")] = None,
    file_format: Format = "csv",
    output: Output = None,
    separator: Separator = ",",
    decimal: Decimal = ".",
    bom: Bom = False,
) -> None:
    """Export the sealed days of a range, both ends included."""
    export = Export.for_days(*day_range(first, last, environment.now()))
    _export(export, file_format, output, Style.of(separator, decimal, bom))


@app.command("adjustments")
def adjustments_(
    month: OfMonth,
    file_format: Format = "csv",
    output: Output = None,
    separator: Separator = ",",
    decimal: Decimal = ".",
    bom: Bom = False,
) -> None:
    """Export the corrections that were posted to a month."""
    export = Export.for_adjustments(Month.parse(month))
    _export(export, file_format, output, Style.of(separator, decimal, bom))


@app.command()
def audit(
    first: Annotated[str | None, typer.Option("--from", help="First day; default 30 days ago.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day; default today.")] = None,
    actor: Annotated[str, typer.Option(help="Part of who did it.")] = "",
    action: Annotated[str, typer.Option(help="What was done, such as adjust.")] = "",
    subject: Annotated[str, typer.Option(help="Part of what it was done to, such as project 7.")] = "",
    file_format: Format = "csv",
    output: Output = None,
    separator: Separator = ",",
    decimal: Decimal = ".",
    bom: Bom = False,
) -> None:
    """Export the audit log of a range, both ends included: who did what, when, before and after."""
    now = environment.now()
    start, end = day_range(first, last or str(Day.of(now)), now)
    export = Export.for_audit(Filter(start.start, end.end, actor, action, subject))
    _export(export, file_format, output, Style.of(separator, decimal, bom))


def _export(export: Export, file_format: str, output: Path | None, style: Style) -> None:
    with read_snapshot(environment.engine(environment.load())) as connection:
        _write(connection, export, file_format, output, style)


def _write(
    connection: Connection, export: Export, file_format: str, output: Path | None, style: Style
) -> None:
    """Write the file and, beside it, its manifest; a device or a pipe has none."""
    contents = write(connection, export, file_format, output, style)
    if output is not None and output.is_file():
        manifest.save(output, contents)
