"""Rows of an exported file, read as the texts that a plain CSV has."""

import csv
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from metering.errors import FleetmeterError
from metering.exports import csv_format
from metering.exports.columns import MONEY
from metering.exports.export_hash import WRONG, Row, seal


def rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of an exported file. Raises FleetmeterError if it is not a Fleetmeter export."""
    is_empty = True
    try:
        for row in _texts(path):
            if is_empty:
                _refuse_other(path, row)
            is_empty = False
            yield row
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or f"it is no CSV or JSON in UTF-8, nor Parquet: {error}"
        raise FleetmeterError(f"{path} cannot be read: {reason}") from error
    if is_empty:
        raise FleetmeterError(f"{path} holds no rows; there is nothing to verify")


def _texts(path: Path) -> Iterator[dict[str, str]]:
    with path.open("rb") as start:
        is_parquet = start.read(4) == b"PAR1"
    if is_parquet:
        from metering.exports import parquet  # noqa: PLC0415 - pyarrow is slow to import

        yield from map(_in_minor_units, parquet.read(path))
        return
    with path.open(encoding="utf-8", newline="") as stream:
        yield from csv_format.read(stream)


def _refuse_other(path: Path, row: Row) -> None:
    required = {"project_id", "seal", "day_hashes"}, {"project_id", "date", "row_hash"}
    if not any(names <= set(row) for names in required):
        raise FleetmeterError(f"{path} is no export of months or days: columns are missing")


def _in_minor_units(row: dict[str, str]) -> dict[str, str]:
    """Return the row with money in the decimals of its seal: Parquet's always has six. Else with two."""
    if "seal" not in row:
        return row
    with suppress(*WRONG):  # the check of the row names the cell that is wrong
        tried = (
            row | {name: _places(row[name], digits) for name in MONEY} for digits in (2, 0, 3, 4, 1, 5, 6)
        )
        first = next(tried)
        return next((each for each in (first, *tried) if seal(each) == each["seal"]), first)
    return row


def _places(money: str, digits: int) -> str:
    amount = Decimal(money)
    rounded = round(amount, digits)
    return format(rounded if rounded == amount else amount, "f")
