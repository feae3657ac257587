"""Write an export as CSV, JSON or Parquet, to a file or to standard output.

Numbers are plain, instants ISO 8601 in UTC, unknown is empty (docs/exports.md).
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection

from metering.errors import FleetmeterError
from metering.exports import csv_format
from metering.exports.csv_format import PLAIN, Style
from metering.exports.export import Export
from metering.exports.manifest import Contents

FORMATS = ("csv", "json", "parquet")


def write(
    connection: Connection,
    export: Export,
    file_format: str = "csv",
    output: Path | None = None,
    style: Style = PLAIN,
) -> Contents:
    """Write `export` to `output`, or as CSV or JSON to standard output; returns the contents.

    Raises FleetmeterError if the format is unknown or the file cannot be written.
    """
    if file_format not in FORMATS:
        raise FleetmeterError(f"--format takes one of {', '.join(FORMATS)}, not {file_format!r}")
    if file_format == "parquet" and output is None:
        raise FleetmeterError("Parquet is binary: name a file with --output")
    contents = Contents()
    rows = contents.count_rows(export.names, export.rows(connection))
    if output is None:
        _write_text(rows, export, file_format, _standard_output(), style)
        return contents
    with _whole_file(output) as partial:
        if file_format == "parquet":
            from metering.exports import parquet  # noqa: PLC0415 - pyarrow is slow to import

            parquet.write(rows, export.columns, partial)
        else:
            with partial.open("w", encoding="utf-8", newline="") as stream:
                _write_text(rows, export, file_format, stream, style)
    return contents


def _write_text(
    rows: Iterable[tuple[Any, ...]], export: Export, file_format: str, stream: IO[str], style: Style
) -> None:
    if file_format == "json":
        csv_format.write_json(rows, export.names, stream)
    else:
        csv_format.write(rows, export.names, stream, style)


def _standard_output() -> IO[str]:
    # The file that a redirection makes is the same under any terminal's encoding and line ends.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    return sys.stdout


@contextmanager
def _whole_file(output: Path) -> Iterator[Path]:
    """Yield a path that replaces `output` at the end, so that nobody reads half a file."""
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
