"""A cell as text and as HTML, for our own tables and cards."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from console.data.session import now
from console.ui import escape as names
from console.ui import format, links, states
from console.ui.columns import Column

SENTENCE = 400  # characters of a cell of text: our own sentences, which end with the remedy


def html(row: Mapping[str, Any], column: Column, unknown: str = format.UNKNOWN) -> str:
    """Return the row's cell as HTML, a link where the column has one."""
    value = row[column.key]
    if value is None:
        return f"<span style='opacity:.75'>{escape(unknown)}</span>"
    inner = states.html(value) if column.kind == "state" else _plain(value, column)
    target = column.link(row) if column.link else None
    return links.anchor(target, inner) if target else inner


def _plain(value: Any, column: Column) -> str:
    if column.kind == "text" and value == "":
        return ""
    if column.kind in ("name", "text"):
        return names.html(str(value), names.LONGEST if column.kind == "name" else SENTENCE)
    return escape(text(value, column))


def text(value: Any, column: Column) -> str:
    """Return a number or an instant as people read it."""
    if column.kind in ("count", "bytes"):
        return format.quantity(value, column.kind)
    if column.kind == "age":
        return format.age(value, now())
    return _FORMATS[column.kind](value) if column.kind in _FORMATS else str(value)


_FORMATS: Mapping[str, Callable[[Any], str]] = {
    "money": "{:,.2f}".format,
    "percent": "{:.0%}".format,
    "seconds": format.duration,
    "instant": "{:%Y-%m-%d %H:%M}".format,
    "date": "{:%a %d %b %Y}".format,
}
