"""Rows as a list of cards, for screens too narrow for columns: plain HTML, which a finger can scroll."""

import re
from collections.abc import Mapping, Sequence
from html import escape, unescape
from math import ceil
from typing import Any

from console.ui import cells
from console.ui.columns import NUMBERS, Column

MOST = 200  # cards; nobody scrolls further on a phone
DETAILS = 4
Row = Mapping[str, Any]
_HEAD = re.compile(r"<li><div class='fm-line'>(.*?)</div>", re.DOTALL)
_BELOW = re.compile(r"<div class='fm-details'>(.*?)</div></li>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


def html(rows: Sequence[Row], columns: Sequence[Column], alt: str, unknown: str) -> str:
    """Return the rows as a list, each with a title, a figure at the right and a line of details."""
    title, figure, details = parts(columns)
    items = "".join(_card(row, title, figure, details, unknown) for row in rows[:MOST])
    more = f"<li class='fm-more'>The first {MOST} of {len(rows):,} rows.</li>" if len(rows) > MOST else ""
    return f"<ul class='fm-cards' aria-label='{escape(alt)}'>{items}{more}</ul>"


def height(markup: str) -> int:
    """Return the approximate height in pixels of the cards of `html` on a phone, before they are drawn."""
    lines = sum(max(1, ceil(len(_plain(head)) / 40)) for head in _HEAD.findall(markup))
    details = sum(ceil(len(_plain(below)) / 50) for below in _BELOW.findall(markup))
    return 19 * markup.count("<li>") + 24 * lines + 19 * details


def _plain(markup: str) -> str:
    return unescape(_TAG.sub("", markup))


def parts(columns: Sequence[Column]) -> tuple[Column, Column | None, list[Column]]:
    """Return the columns of the title, the figure and the details, with a default for each."""
    offered = [column for column in columns if column.narrow != "hidden"]
    free = [column for column in offered if column.narrow is None]
    title = next((c for c in offered if c.narrow == "title"), None)
    title = title or next((c for c in free if c.kind == "name"), offered[0])
    figure = next((c for c in offered if c.narrow == "figure"), None)
    figure = figure or next((c for c in free if c.kind in NUMBERS), None)
    detail_columns = [c for c in offered if c.narrow == "detail"]
    candidates = detail_columns or [c for c in free if c.kind != "id"]
    return (
        title,
        figure,
        [c for c in candidates if c not in (title, figure)][: len(detail_columns) or DETAILS],
    )


def _card(row: Row, title: Column, figure: Column | None, details: Sequence[Column], unknown: str) -> str:
    right = "" if figure is None else f"<span class='fm-figure'>{_labelled(row, figure, unknown)}</span>"
    below = " · ".join(
        _labelled(row, column, unknown) for column in details if row[column.key] not in (None, "")
    )
    name = f"<span class='fm-title'>{cells.html(row, title, unknown)}</span>"
    return f"<li><div class='fm-line'>{name}{right}</div><div class='fm-details'>{below}</div></li>"


def _labelled(row: Row, column: Column, unknown: str) -> str:
    cell = cells.html(row, column, unknown)
    bare = column.kind in ("name", "text", "state", "bytes", "money", "percent")
    return cell if bare else f"<small>{escape(column.label)}</small> {cell}"
