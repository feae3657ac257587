"""CSV that any spreadsheet reads as it was written: texts are quoted and guarded, numbers are plain."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from typing import IO, Any

from metering.errors import FleetmeterError
from metering.exports.csv_guard import guard, remove_guard

SEPARATORS = {",": ",", ";": ";", "tab": "\t", "|": "|"}


@dataclass(frozen=True)
class Style:
    """How cells are separated. `bom` makes Excel read UTF-8; a comma as `decimal` suits its locale."""

    separator: str = ","
    decimal: str = "."
    bom: bool = False

    @classmethod
    def of(cls, separator: str = ",", decimal: str = ".", bom: bool = False) -> "Style":
        """Return the style. Raises FleetmeterError if no spreadsheet reads it."""
        if separator not in SEPARATORS and separator not in SEPARATORS.values():
            raise FleetmeterError(f"--separator takes one of {', '.join(SEPARATORS)}, not {separator!r}")
        if decimal not in (".", ",") or decimal == separator:
            raise FleetmeterError(f"--decimal takes . or , and not the separator; got {decimal!r}")
        return cls(SEPARATORS.get(separator, separator), decimal, bom)


PLAIN = Style()


def write(lines: Iterable[Iterable[Any]], names: Sequence[str], stream: IO[str], style: Style = PLAIN) -> int:
    """Write one header and one line for each row, ended by LF; returns the rows written."""
    if style.bom:
        stream.write("\ufeff")
    stream.write(style.separator.join(names) + "\n")
    written = 0
    for row in lines:
        stream.write(style.separator.join(_cell(value, style) for value in row) + "\n")
        written += 1
    return written


def _cell(value: Any, style: Style) -> str:
    text = text_of(value)
    if isinstance(value, str | list | dict):
        return '"' + guard(text).replace('"', '""') + '"'
    return text.replace(".", style.decimal) if isinstance(value, Decimal) else text


def text_of(value: Any) -> str:
    """Return a value as a plain cell has it, before the guard for spreadsheets; unknown is empty."""
    value = as_text(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return "" if value is None else str(value)


def as_text(value: Any) -> Any:
    """Return JSON as text, with keys in order; other values as they are."""
    if isinstance(value, list | dict):
        return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False, default=text_of)
    return value


def write_json(lines: Iterable[Iterable[Any]], names: Sequence[str], stream: IO[str]) -> int:
    """Write an array, an object on each line; returns the rows written.

    Integers and JSON are nested as they are, unknown is null, everything else is the text of a CSV.
    """
    written = 0
    for row in lines:
        stream.write(",\n" if written else "[\n")
        values = {name: _json(value) for name, value in zip(names, row, strict=True)}
        stream.write(json.dumps(values, separators=(",", ":"), ensure_ascii=False))
        written += 1
    stream.write("\n]\n" if written else "[]\n")
    return written


def _json(value: Any) -> Any:
    return value if value is None or isinstance(value, int | list | dict) else text_of(value)


def read(stream: IO[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV in any style, or of JSON, by column name; texts as they were.

    A CSV is read line by line. Columns and rows without any content, which spreadsheets add, are left
    out. Raises ValueError if it is neither, if a row does not have a cell for each column, or if a
    column is there twice.
    """
    header = stream.readline().removeprefix("\ufeff")
    if header.lstrip()[:1] in ("[", "{"):
        yield from _of_json(json.loads(header + stream.read()))
        return
    separator = max(SEPARATORS.values(), key=header.count)
    lines = csv.reader(chain([header], stream), delimiter=separator)
    names = _trimmed(next(lines, []))
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"the column {twice} is there twice")
    for number, line in enumerate(lines, 1):
        cells = line[: len(names)] + _trimmed(line[len(names) :])
        if not any(cells):
            continue
        if len(cells) != len(names):
            raise ValueError(f"row {number} does not have the cells of the header")
        yield dict(zip(names, map(remove_guard, cells), strict=True))


def _trimmed(cells: list[str]) -> list[str]:
    """Return the cells without the empty ones at the end."""
    return cells[: max((place for place, cell in enumerate(cells, 1) if cell), default=0)]


def _of_json(rows: Any) -> list[dict[str, str]]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it is not an array of objects")
    return [{name: text_of(value) for name, value in row.items()} for row in rows]
