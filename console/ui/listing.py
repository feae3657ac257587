"""A short table to read, as HTML: where people arrive, a grid to sort and search would hold up the page."""

from collections.abc import Sequence
from html import escape
from typing import Any

import streamlit as st

from console.data.queries.rows import Row
from console.ui import escape as names
from console.ui import format
from console.ui.table import Column

LINE = "border-bottom:1px solid rgba(128,128,128,.28);padding:.45rem .75rem"
NUMBERS = ("id", "count", "bytes")


def render(rows: Sequence[Row], columns: Sequence[Column], alt: str) -> None:
    """Rows in the order given; what is unknown says so."""
    head = "".join(
        f"<th scope='col' style='{LINE};{_side(column)};font-weight:600'>{escape(column.label)}</th>"
        for column in columns
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td style='{LINE};{_side(c)}'>{_cell(row[c.key], c)}</td>" for c in columns)
        + "</tr>"
        for row in rows
    )
    st.html(
        f"<div role='region' aria-label='{escape(alt)}' tabindex='0' style='overflow-x:auto'>"
        f"<table style='width:100%;border-collapse:collapse;font-size:.9rem'>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _side(column: Column) -> str:
    if column.kind in NUMBERS:
        return "text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums"
    return "text-align:left;overflow-wrap:anywhere"


def _cell(value: Any, column: Column) -> str:
    if value is None:
        return f"<span style='opacity:.7'>{format.UNKNOWN}</span>"
    if column.kind == "id":
        return str(int(value))
    if column.kind in NUMBERS:
        return escape(format.quantity(value, column.kind))
    return names.html(str(value))
