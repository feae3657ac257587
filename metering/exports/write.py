"""Tables for others to read, as CSV or Parquet: closed months, sealed days, adjustments.

Columns stand in a fixed order, named as in the database with their unit (docs/exports.md). Numbers
are plain, instants ISO 8601 in UTC, unknown is empty. Rows are streamed, never held all at once.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from sqlalchemy import Connection, Engine, Table, text

from metering.catalogue.meters import COUNTER_NAMES, GAUGE_NAMES
from metering.catalogue.periods import Day, Month
from metering.db.tables import OWN_TABLES
from metering.db.transactions import read_snapshot
from metering.errors import FleetmeterError
from metering.exports import csv_format, export_rows, parquet
from metering.exports.csv_format import PLAIN, Style

FORMATS = ("csv", "json", "parquet")

_OWNER = ("organization_id", "organization_name", "project_id", "project_name")
MONTHLY_COLUMNS = (
    *(*_OWNER, "year", "month", "tier", *COUNTER_NAMES, *(f"peak_{name}" for name in GAUGE_NAMES)),
    *("plan_fee", "overage_charge", "adjustment_charge", "total_charge", "currency"),
    *("exceeded_limits", "days_present", "days_expected", "plan_version"),
    *("previous_seal", "seal", "closed_by", "created_at", "day_hashes", "export_hash"),
)
DAILY_COLUMNS = (
    *(*_OWNER, "date", "year", "month", "day", "tier", *COUNTER_NAMES, *GAUGE_NAMES),
    *("coverage", "row_hash", "created_at", "export_hash"),
)
ADJUSTMENT_COLUMNS = (
    *(*_OWNER, "id", "kind", "meter", "quantity", "amount", "usage_date", "posted_month"),
    *("reverses", "reason", "actor", "created_at"),
)
DAY_HASHES = """(SELECT string_agg(d.row_hash, ' ' ORDER BY d.date) FROM daily_stats d
    WHERE d.project_id = t.project_id AND d.date >= :first AND d.date <= :last)"""


@dataclass(frozen=True)
class Export:
    """What a file holds: its columns, the table `t` they come from, and which of its rows."""

    columns: tuple[str, ...]
    source: Table
    where: str
    order: str
    computed: tuple[tuple[str, str], ...] = ()

    @property
    def query(self) -> str:
        owner = "p.organization_id" if "organization_id" not in self.source.c else "t.organization_id"
        known = {"organization_id": owner, "organization_name": "o.name", "project_name": "p.name"}
        known |= dict(self.computed) | {"export_hash": "NULL"}
        chosen = ", ".join(f"{known.get(name, f't.{name}')} AS {name}" for name in self.columns)
        return f"""SELECT {chosen} FROM {self.source.name} t JOIN projects p ON p.id = t.project_id
            JOIN organizations o ON o.id = {owner} WHERE {self.where} ORDER BY {self.order}"""

    @property
    def schema(self) -> pa.Schema:
        return parquet.schema(self.source, self.columns)


MONTHLY = Export(
    MONTHLY_COLUMNS,
    OWN_TABLES["monthly_stats"],
    "t.year = :year AND t.month = :month",
    "t.organization_id, t.project_id",
    (("day_hashes", DAY_HASHES),),
)
DAILY = Export(
    DAILY_COLUMNS, OWN_TABLES["daily_stats"], "t.date >= :first AND t.date <= :last", "t.date, t.project_id"
)
ADJUSTMENTS = Export(
    ADJUSTMENT_COLUMNS,
    OWN_TABLES["adjustments"],
    "t.posted_month = :first",
    "t.project_id, t.id",
)


def rows(connection: Connection, export: Export, first: Day, last: Day) -> Iterator[tuple[Any, ...]]:
    """The rows of `export` from `first` to `last`; of months and adjustments, the month of `first`."""
    bounds = {"first": first.date, "last": last.date, "year": first.date.year, "month": first.date.month}
    streamed = connection.execution_options(yield_per=parquet.BATCH)
    for row in streamed.execute(text(export.query), bounds):
        yield _hashed(tuple(row), export.columns)


def _hashed(row: tuple[Any, ...], names: tuple[str, ...]) -> tuple[Any, ...]:
    if names[-1] != "export_hash":
        return row
    cells = {name: csv_format.text_of(value) for name, value in zip(names, row, strict=True)}
    return (*row[:-1], export_rows.export_hash(cells))


def monthly_rows(connection: Connection, month: Month) -> Iterator[tuple[Any, ...]]:
    """The bills of `month`, a row in the order of MONTHLY_COLUMNS for each project."""
    return rows(connection, MONTHLY, month.first, month.last)


def write(
    engine: Engine,
    export: Export,
    first: Day,
    last: Day,
    file_format: str = "csv",
    output: Path | None = None,
    style: Style = PLAIN,
) -> int:
    """Write `export` to `output`, or as CSV or JSON to standard output; returns the rows written.

    Raises FleetmeterError for a format that is none, and when the file cannot be written.
    """
    if file_format not in FORMATS:
        raise FleetmeterError(f"--format takes one of {', '.join(FORMATS)}, not {file_format!r}")
    if file_format == "parquet" and output is None:
        raise FleetmeterError("Parquet is binary: name a file with --output")
    with read_snapshot(engine) as connection:
        lines = rows(connection, export, first, last)
        if output is None:
            return _write_text(lines, export, file_format, _standard_output(), style)
        with _whole_file(output) as partial:
            if file_format == "parquet":
                return parquet.write(lines, export.schema, partial)
            with partial.open("w", encoding="utf-8", newline="") as stream:
                return _write_text(lines, export, file_format, stream, style)


def _write_text(
    lines: Iterable[tuple[Any, ...]], export: Export, file_format: str, stream: IO[str], style: Style
) -> int:
    if file_format == "json":
        return csv_format.write_json(lines, export.columns, stream)
    return csv_format.write(lines, export.columns, stream, style)


def write_monthly(
    engine: Engine, month: Month, file_format: str, output: Path | None, style: Style = PLAIN
) -> int:
    """The bills of `month`, a row for each project; returns how many."""
    return write(engine, MONTHLY, month.first, month.last, file_format, output, style)


def _standard_output() -> IO[str]:
    # Whatever the terminal's encoding and line ends, the file that a redirection makes is the same.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    return sys.stdout


@contextmanager
def _whole_file(output: Path) -> Iterator[Path]:
    """A path to write to that takes the place of `output` at the end: nobody reads half a file."""
    if output.exists() and not output.is_file():  # a device or a pipe cannot be replaced
        partial = output
    else:
        partial = output.with_name(output.name + ".partial")
    try:
        yield partial
        if partial != output:
            partial.replace(output)
    except OSError as error:
        reason = f"{output} cannot be written ({error.strerror}); nothing was exported"
        raise FleetmeterError(reason) from error
    finally:
        if partial != output:
            partial.unlink(missing_ok=True)
