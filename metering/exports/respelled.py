"""Cells that a spreadsheet or pandas spelled in another way, back in the spelling of the export.

`100.00` comes back as `100`, `4` as `4.0`, a date with a time or in another country's order. A cell whose
value is another one stays as it is: the check of the row's hashes names it.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal

from metering.exports.columns import ADJUSTMENT_COLUMNS, DAILY_COLUMNS, MONEY, MONTHLY_COLUMNS, Kind
from metering.exports.csv_format import text_of
from metering.exports.export_hash import WRONG, Row, export_hash, seal

DIGITS = (2, 0, 3, 4, 1, 5, 6)  # of minor units, the usual ones first
KINDS: dict[str, Kind] = {
    column.name: column.kind for column in (*ADJUSTMENT_COLUMNS, *DAILY_COLUMNS, *MONTHLY_COLUMNS)
}


def as_exported(row: Row) -> dict[str, str]:
    """Return the row with its cells spelled as its hashes need them.

    Money gets the decimals with which the seal is right, or two if none are.
    """
    if row.get("export_hash") == export_hash(row):
        return dict(row)
    cells = {name: _respell(name, cell, row) for name, cell in row.items()}
    if "seal" not in row:
        return cells
    with suppress(*WRONG):
        spellings = _in_minor_units(cells)
        first = next(spellings)
        return next((each for each in (first, *spellings) if seal(each) == each["seal"]), first)
    return cells


def _respell(name: str, cell: str, row: Row) -> str:
    spell = _SPELL.get(KINDS.get(name, "text"))
    if spell is None or not cell:
        return cell
    with suppress(*WRONG, OverflowError):
        return spell(cell, row)
    return cell


def _integer(cell: str, row: Row) -> str:
    number = _number(cell)
    return str(int(number)) if number == int(number) else cell


def _money(cell: str, row: Row) -> str:
    return format(_number(cell), "f")


def _number(cell: str) -> Decimal:
    """Return the number of a cell, also with a comma before its decimals."""
    return Decimal(cell.replace(",", "."))


def _date(cell: str, row: Row) -> str:
    """Return the row's day if the cell names it, in any order, with a time of 0 or without."""
    parts = [int(part) for part in re.findall(r"\d+", cell)]
    year, month, day = (int(row[name]) for name in ("year", "month", "day"))
    names_it = sorted(parts[:3]) in (sorted((year, month, day)), sorted((year % 100, month, day)))
    return f"{year:04d}-{month:02d}-{day:02d}" if names_it and not any(parts[3:]) else cell


def _instant(cell: str, row: Row) -> str:
    moment = datetime.fromisoformat(cell)
    return text_of((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC))


_SPELL: dict[Kind, Callable[[str, Row], str]] = {
    "integer": _integer,
    "money": _money,
    "date": _date,
    "instant": _instant,
}


def _in_minor_units(cells: dict[str, str]) -> Iterator[dict[str, str]]:
    for digits in DIGITS:
        yield cells | {name: _places(cells[name], digits) for name in MONEY}


def _places(money: str, digits: int) -> str:
    amount = Decimal(money)
    rounded = round(amount, digits)
    return format(rounded if rounded == amount else amount, "f")
