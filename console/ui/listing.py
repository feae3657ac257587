"""A short table as HTML with links: on the first page, a sortable grid would delay everything else."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from console.ui import cards, cells, format, room
from console.ui.columns import NUMBERS, Column

Row = Mapping[str, Any]


def render(
    rows: Sequence[Row], columns: Sequence[Column], alt: str, placeholder: str = format.UNKNOWN
) -> None:
    """Show rows in the order given: a table on wide screens, cards on narrow ones."""
    key = "".join(letter for letter in alt if letter.isalnum())
    wide, narrow = _table(rows, columns, alt, placeholder), cards.html(rows, columns, alt, placeholder)
    place = room.room(key, 38 + 34 * len(rows), cards.height(narrow))
    place.html(f"<div class='fm-wide'>{wide}</div><div class='fm-narrow'>{narrow}</div>")


def _table(rows: Sequence[Row], columns: Sequence[Column], alt: str, unknown: str) -> str:
    visible = [column for column in columns if column.wide]
    head = "".join(f"<th scope='col' class='{_side(c)}'>{escape(c.label)}</th>" for c in visible)
    body = "".join(
        "<tr>"
        + "".join(f"<td class='{_side(c)}'>{cells.html(row, c, unknown)}</td>" for c in visible)
        + "</tr>"
        for row in rows
    )
    return (
        f"<div role='region' aria-label='{escape(alt)}' tabindex='0' class='fm-region'>"
        f"<table class='fm-table'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _side(column: Column) -> str:
    return "fm-number" if column.kind in (*NUMBERS, "id") else "fm-text"
