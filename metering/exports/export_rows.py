"""Rows of an exported file, read as the texts that a plain CSV has, whichever program saved it."""

import codecs
import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from metering.errors import FleetmeterError
from metering.exports import csv_format
from metering.exports.columns import DAILY_COLUMNS, MONTHLY_COLUMNS
from metering.exports.export_hash import Row
from metering.exports.respelled import as_exported

CHUNK = 1 << 20
_BILLS = frozenset(column.name for column in MONTHLY_COLUMNS)
_DAYS = frozenset(column.name for column in DAILY_COLUMNS)
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


class ExportedFile:
    """The rows of an exported file of months or days, read as they are asked for.

    `unknown` are the names of columns that are not part of the export; rows do not have them.
    """

    def __init__(self, path: Path) -> None:
        """Open the file. Raises FleetmeterError if it is not a Fleetmeter export, or has no rows."""
        self._path = path
        rows = self._translated(_texts(path))
        first = next(rows, None)
        if first is None:
            raise FleetmeterError(f"{path} holds no rows; there is nothing to verify")
        _refuse_other(path, first)
        self._names = _BILLS if "seal" in first else _DAYS
        self.unknown = [name for name in first if name not in self._names]
        self._rows = chain([first], rows)

    def __iter__(self) -> Iterator[dict[str, str]]:
        """Yield the rows. Raises FleetmeterError if the rest of the file cannot be read."""
        for row in self._rows:
            yield as_exported({name: cell for name, cell in row.items() if name in self._names})

    def _translated(self, rows: Iterator[dict[str, str]]) -> Iterator[dict[str, str]]:
        try:
            yield from rows
        except UnicodeDecodeError as error:
            reason = "its text is not in UTF-8, UTF-16 or Windows-1252"
            raise FleetmeterError(f"{self._path} cannot be read: {reason}; save it as UTF-8") from error
        except (OSError, ValueError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or f"it is not CSV, JSON or Parquet: {error}"
            raise FleetmeterError(f"{self._path} cannot be read: {reason}") from error


def rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of an exported file. Raises FleetmeterError if it is not a Fleetmeter export."""
    return iter(ExportedFile(path))


def _texts(path: Path) -> Iterator[dict[str, str]]:
    with path.open("rb") as stream:
        start = stream.read(4)
    if start in _WORKBOOKS:
        raise FleetmeterError(f"{path} is a workbook; save its sheet as CSV (UTF-8) and verify that file")
    if start == b"PAR1":
        from metering.exports import parquet  # noqa: PLC0415 - pyarrow is slow to import

        yield from parquet.read(path)
        return
    with path.open(encoding=_encoding(path, start), newline="") as stream:
        yield from csv_format.read(stream)


def _encoding(path: Path, start: bytes) -> str:
    """Return the encoding: UTF-16 by its mark, else UTF-8, else what older spreadsheets write."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as stream:
        try:
            while chunk := stream.read(CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8"


def _refuse_other(path: Path, row: Row) -> None:
    required = {"project_id", "seal", "day_hashes"}, {"project_id", "date", "row_hash"}
    if not any(names <= set(row) for names in required):
        raise FleetmeterError(f"{path} is not an export of months or days: columns are missing")
