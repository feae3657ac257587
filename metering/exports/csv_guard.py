"""The guard against formulas: no part of a text can be taken for a formula by a spreadsheet.

An apostrophe is put before a sign that begins a text, or that follows a separator, with nothing but
quotes and apostrophes between: a spreadsheet that splits lines at another separator than the one
that was written would begin a cell there. Reading takes that apostrophe away again.
"""

import re

# Spreadsheets take the full-width forms of the signs for the signs.
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_START = "^[\"']*"
_AFTER = "[,;\t|\r\n][\"']*"
_UNGUARDED = re.compile(f"(?:{_START}(?=[{_SIGNS}\t\r\n])|{_AFTER}(?=[{_SIGNS}]))")
_GUARDED = re.compile(f"({_START})'(?=[{_SIGNS}\t\r\n])|({_AFTER})'(?=[{_SIGNS}])")


def guard(value: str) -> str:
    """Return the text with an apostrophe before each sign that a spreadsheet would execute."""
    return _UNGUARDED.sub(lambda match: f"{match[0]}'", value)


def remove_guard(cell: str) -> str:
    """Return the text before `guard` added apostrophes."""
    return _GUARDED.sub(lambda match: match[1] or match[2] or "", cell)
