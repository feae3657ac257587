"""Rows of an exported file as texts, and the hashes that they give (docs/proof.md specifies them)."""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from metering.catalogue.meters import COUNTER_NAMES, GAUGE_NAMES
from metering.errors import FleetmeterError
from metering.exports import csv_format

Row = Mapping[str, str]
WRONG = (ValueError, KeyError, TypeError, AttributeError, InvalidOperation)  # of a cell that was rewritten

NUMBERS = {"project_id", "organization_id", "year", "month", "day", "days_present", "days_expected"}
NUMBERS |= {*COUNTER_NAMES, *GAUGE_NAMES, *(f"peak_{name}" for name in GAUGE_NAMES)}
MONEY = ("plan_fee", "overage_charge", "adjustment_charge", "total_charge")
JSON = ("exceeded_limits", "coverage")
# For people, or not part of what is hashed.
APART = (
    *("organization_name", "project_name", "created_at"),
    *("seal", "row_hash", "day_hashes", "export_hash"),
)


def canonical(value: Any) -> str:
    """Canonical JSON: keys in order, no white space, no escapes but JSON's own."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(form: str) -> str:
    return hashlib.sha256(form.encode()).hexdigest()


def export_hash(cells: Row) -> str:
    """SHA-256 of the canonical form of a whole row as it is exported, every value a text."""
    return sha256(canonical({name: cell for name, cell in cells.items() if name != "export_hash"}))


def sealed(row: Row) -> dict[str, Any]:
    """What is hashed of a row: its columns as JSON values, money as text, unknown as null."""
    return {name: _value(name, cell) for name, cell in row.items() if name not in APART}


def _value(name: str, cell: str) -> Any:
    if name in NUMBERS:
        return int(cell) if cell else None
    if name in MONEY:
        return cell.replace(",", ".")
    return json.loads(cell) if name in JSON else cell


def seal(row: Row) -> str:
    """The seal that the cells of an exported bill give."""
    return sha256("\n".join([row["previous_seal"], *row["day_hashes"].split(), canonical(sealed(row))]))


def rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of an exported file as a plain CSV has them. Raises FleetmeterError when it is none."""
    none = True
    try:
        for row in _texts(path):
            if none:
                _refuse_other(path, row)
            none = False
            yield row
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or f"it is no CSV or JSON in UTF-8, nor Parquet: {error}"
        raise FleetmeterError(f"{path} cannot be read: {reason}") from error
    if none:
        raise FleetmeterError(f"{path} holds no rows; there is nothing to verify")


def _texts(path: Path) -> Iterator[dict[str, str]]:
    with path.open("rb") as start:
        is_parquet = start.read(4) == b"PAR1"
    if is_parquet:
        from metering.exports import parquet  # noqa: PLC0415 - pyarrow is slow to import, and CSV needs none

        yield from map(_in_minor_units, parquet.read(path))
        return
    with path.open(encoding="utf-8", newline="") as stream:
        yield from csv_format.read(stream)


def _refuse_other(path: Path, row: Row) -> None:
    required = {"project_id", "seal", "day_hashes"}, {"project_id", "date", "row_hash"}
    if not any(names <= set(row) for names in required):
        raise FleetmeterError(f"{path} is no export of months or days: columns are missing")


def _in_minor_units(row: dict[str, str]) -> dict[str, str]:
    """Money with the decimals that its seal was made of: Parquet's always has six. Else with two."""
    if "seal" not in row:
        return row
    with suppress(*WRONG):  # whoever checks the row says what is wrong with it
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
