"""CSV that a spreadsheet reads as what it is: no cell can be taken for a formula.

A text that begins with = + - @ tab, CR or LF gets an apostrophe in front; so does one that begins
with apostrophes and then one of these, so that reading can take the apostrophe away again.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from typing import IO, Any

from metering.errors import FleetmeterError

# Spreadsheets take the full-width forms of the signs for the signs.
FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
SEPARATORS = {",": ",", ";": ";", "tab": "\t", "|": "|"}


@dataclass(frozen=True)
class Style:
    """How cells are set apart. `bom` makes Excel read UTF-8; a comma as `decimal` suits its locale."""

    separator: str = ","
    decimal: str = "."
    bom: bool = False

    @classmethod
    def of(cls, separator: str = ",", decimal: str = ".", bom: bool = False) -> "Style":
        """Raises FleetmeterError for what no spreadsheet reads."""
        if separator not in SEPARATORS and separator not in SEPARATORS.values():
            raise FleetmeterError(f"--separator takes one of {', '.join(SEPARATORS)}, not {separator!r}")
        if decimal not in (".", ",") or decimal == separator:
            raise FleetmeterError(f"--decimal takes . or , and not the separator; got {decimal!r}")
        return cls(SEPARATORS.get(separator, separator), decimal, bom)


PLAIN = Style()


def write(lines: Iterable[Iterable[Any]], names: Sequence[str], stream: IO[str], style: Style = PLAIN) -> int:
    """One header and one line a row, in UTF-8; returns the rows written."""
    if style.bom:
        stream.write("\ufeff")
    writer = csv.writer(_UnixLines(stream), delimiter=style.separator)
    writer.writerow(names)
    written = 0
    for row in lines:
        writer.writerow([_cell(value, style) for value in row])
        written += 1
    return written


class _UnixLines:
    """Ends lines with LF; the csv module, made to write LF itself, would leave a CR unquoted."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, line: str) -> int:
        return self.stream.write(line.removesuffix("\r\n") + "\n")


def _cell(value: Any, style: Style) -> Any:
    if isinstance(value, Decimal):
        return text_of(value).replace(".", style.decimal)
    return text_of(value) if not isinstance(value, str | list | dict) else harmless(text_of(value))


def text_of(value: Any) -> str:
    """A value as a plain cell has it, before anything is done for spreadsheets; unknown is empty."""
    value = as_text(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return "" if value is None else str(value)


def as_text(value: Any) -> Any:
    """JSON as its text, keys in order; everything else as it is."""
    if isinstance(value, list | dict):
        return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return value


def harmless(value: Any) -> Any:
    """The value, with an apostrophe in front of a text that a spreadsheet would execute."""
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def original(cell: str) -> str:
    """The text that `harmless` was given."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def write_json(lines: Iterable[Iterable[Any]], names: Sequence[str], stream: IO[str]) -> int:
    """An array, an object a line: integers and JSON as such, null for unknown, the rest as in a CSV."""
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
    """The rows of a CSV in any style, or of JSON, by column name; texts as they were.

    A CSV is read as it goes. Raises ValueError when it is neither, or a row has not as many cells as
    the header.
    """
    header = stream.readline().removeprefix("\ufeff")
    if header.lstrip()[:1] in ("[", "{"):
        yield from _of_json(json.loads(header + stream.read()))
        return
    separator = max(SEPARATORS.values(), key=header.count)
    for number, row in enumerate(csv.DictReader(chain([header], stream), delimiter=separator), 1):
        if None in row or None in row.values():
            raise ValueError(f"row {number} has not the cells of the header")
        yield {name: original(cell) for name, cell in row.items()}


def _of_json(rows: Any) -> list[dict[str, str]]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it is no array of objects")
    return [{name: text_of(value) for name, value in row.items()} for row in rows]
