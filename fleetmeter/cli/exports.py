"""`fleetmeter export …`: bills, days and adjustments as CSV or Parquet."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from sqlalchemy import text

from fleetmeter import environment
from fleetmeter.cli import output as show
from metering.catalogue.periods import Day, Month
from metering.db.transactions import transaction

if TYPE_CHECKING:
    from metering.exports.write import Export

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
    """The bills of a closed month: one header, one row for each project, nothing else."""
    wanted = Month.parse(month)
    _write("MONTHLY", wanted.first, wanted.last, file_format, output, separator, decimal, bom)
    _tell_unbilled(wanted)


def _tell_unbilled(month: Month) -> None:
    """On standard error, so that the file stays the file: an export of an open month is not all of it."""
    query = text("SELECT count(*) FROM fleetmeter_month_status(:month, :at) WHERE state <> 'closed'")
    with transaction(environment.engine(environment.load())) as connection:
        open_ = connection.scalar(query, {"month": month.first.date, "at": environment.now()})
    if open_:
        told = f"{month}: {open_:,} without a bill yet, and so without a row; see: fleetmeter month {month}"
        print(told, file=sys.stderr)


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
    """The sealed days of a range, both ends included."""
    start, end = show.day_range(first, last, environment.now())
    _write("DAILY", start, end, file_format, output, separator, decimal, bom)


@app.command("adjustments")
def adjustments_(
    month: OfMonth,
    file_format: Format = "csv",
    output: Output = None,
    separator: Separator = ",",
    decimal: Decimal = ".",
    bom: Bom = False,
) -> None:
    """The corrections posted to a month."""
    wanted = Month.parse(month)
    _write("ADJUSTMENTS", wanted.first, wanted.last, file_format, output, separator, decimal, bom)


def _write(
    name: str,
    first: Day,
    last: Day,
    file_format: str,
    output: Path | None,
    separator: str,
    decimal: str,
    bom: bool,
) -> None:
    from metering.exports import csv_format, write  # noqa: PLC0415 - pyarrow is slow to import

    export: Export = getattr(write, name)
    style = csv_format.Style.of(separator, decimal, bom)
    engine = environment.engine(environment.load())
    write.write(engine, export, first, last, file_format, output, style)
