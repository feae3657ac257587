"""Tables for others to read: the bills of a month as CSV or Parquet.

Columns, in a fixed order, are those of monthly_stats with the names of organization and project.
Numbers are plain, instants ISO 8601 in UTC, unknown is empty. A text that a spreadsheet would take
for a formula gets an apostrophe in front.
"""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from pyarrow import parquet
from sqlalchemy import Connection, Engine, text

from metering import database
from metering.errors import FleetmeterError
from metering.meters import COUNTER_NAMES, GAUGE_NAMES, columns
from metering.periods import Month

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

MONTHLY_COLUMNS = (
    *("organization_id", "organization_name", "project_id", "project_name", "year", "month", "tier"),
    *COUNTER_NAMES,
    *(f"peak_{name}" for name in GAUGE_NAMES),
    *("plan_fee", "overage_charge", "adjustment_charge", "total_charge", "currency"),
    *("exceeded_limits", "days_present", "days_expected", "plan_version"),
    *("previous_seal", "seal", "closed_by", "created_at"),
)

MONTHLY = text(f"""
    SELECT m.organization_id, o.name AS organization_name, m.project_id, p.name AS project_name,
        m.year, m.month, m.tier, {columns("m.{0}")}, {columns("m.peak_{0}", GAUGE_NAMES)},
        m.plan_fee, m.overage_charge, m.adjustment_charge, m.total_charge, m.currency,
        m.exceeded_limits, m.days_present, m.days_expected, m.plan_version,
        m.previous_seal, m.seal, m.closed_by, m.created_at
    FROM monthly_stats m JOIN projects p ON p.id = m.project_id
    JOIN organizations o ON o.id = m.organization_id
    WHERE m.year = :year AND m.month = :month
    ORDER BY m.organization_id, m.project_id""")


def monthly_rows(connection: Connection, month: Month) -> Iterator[list[Any]]:
    """The bills of `month`, a list in the order of MONTHLY_COLUMNS for each project."""
    streamed = connection.execution_options(yield_per=2_000)
    for row in streamed.execute(MONTHLY, {"year": month.year, "month": month.month}):
        yield [_plain(value) for value in row]


def write_csv(rows: Iterator[list[Any]], names: tuple[str, ...], stream: IO[str]) -> int:
    """One header and one line a row; returns the rows written."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    written = 0
    for row in rows:
        writer.writerow([harmless(value) for value in row])
        written += 1
    return written


def harmless(value: Any) -> Any:
    """The value, with an apostrophe in front of a text that a spreadsheet would execute."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value


def write_monthly(engine: Engine, month: Month, file_format: str, output: Path | None) -> None:
    """Write the bills of `month` to `output`, or as CSV to standard output.

    Raises FleetmeterError for a format that is none, and when the file cannot be written.
    """
    if file_format not in ("csv", "parquet"):
        raise FleetmeterError(f"--format takes csv or parquet, not {file_format!r}")
    if file_format == "parquet" and output is None:
        raise FleetmeterError("Parquet is binary: name a file with --output")
    with database.snapshot(engine) as connection:
        rows = monthly_rows(connection, month)
        try:
            _write(rows, file_format, output)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise FleetmeterError(
                f"{output} cannot be written ({error.strerror}); nothing was exported"
            ) from error


def _write(rows: Iterator[list[Any]], file_format: str, output: Path | None) -> None:
    if output is None:
        write_csv(rows, MONTHLY_COLUMNS, sys.stdout)
        return
    partial = output.with_name(output.name + ".partial")  # a reader never sees half a file
    try:
        if file_format == "csv":
            with partial.open("w", encoding="utf-8", newline="") as stream:
                write_csv(rows, MONTHLY_COLUMNS, stream)
        else:
            table = dict(zip(MONTHLY_COLUMNS, zip(*rows, strict=True), strict=False))
            parquet.write_table(
                pa.table({name: list(table.get(name, ())) for name in MONTHLY_COLUMNS}), partial
            )
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value, separators=(",", ":"), sort_keys=True)
    if hasattr(value, "isoformat"):
        return value.isoformat().replace("+00:00", "Z")
    return value
