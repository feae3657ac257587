"""CSV that a spreadsheet reads as what it is: no cell can be taken for a formula.

A text that begins with = + - @ tab, CR or LF gets an apostrophe in front; so does one that begins
with apostrophes and then one of these, so that reading can take the apostrophe away again.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
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
    value = as_text(value)
    if isinstance(value, Decimal):
        return format(value, "f").replace(".", style.decimal)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else harmless(value)


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


def read(stream: IO[str]) -> list[dict[str, str]]:
    """The rows of a file in any style, by column name; texts as they were."""
    content = stream.read().removeprefix("\ufeff")
    separator = max(SEPARATORS.values(), key=content.partition("\n")[0].count)
    return [
        {name: original(cell or "") for name, cell in row.items() if isinstance(cell, str | None)}
        for row in csv.DictReader(io.StringIO(content, newline=""), delimiter=separator)
    ]
