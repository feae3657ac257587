"""Rows as Streamlit's own data frame: the data for the browser, and the format of each kind of column."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa
import streamlit as st

from console.ui import cells, escape, states
from console.ui.columns import Column, Kind

ROW, HEAD, TALLEST = 35, 38, 25  # pixels twice; rows that are seen without scrolling inside
LINK = " →"  # ends the name of a column of addresses
STATES = pa.list_(pa.string())
TYPES: Mapping[Kind, pa.DataType] = {
    **dict.fromkeys(("id", "count", "bytes"), pa.int64()),
    **dict.fromkeys(("money", "seconds", "percent"), pa.float64()),
    **dict.fromkeys(("text", "name"), pa.string()),
    **dict.fromkeys(("instant", "age"), pa.timestamp("us", "UTC")),
    "date": pa.date32(),
    "state": STATES,
}
COLOURS = {
    state.label: states.FILLS[state.colour]
    for state in (*vars(states).values(), *states.COVERAGE.values())
    if isinstance(state, states.StatusLabel)
}


def arrow(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> pa.Table:
    """Return rows under their columns' headings, as in a download; an unknown value stays missing.

    Through pandas this takes ten times as long. A column with links is followed by their addresses:
    the name stays a text, which sorts and is downloaded as such.
    """
    data: dict[str, pa.Array] = {}
    for column in columns:
        if column.wide:
            values = [_value(row[column.key], column.kind) for row in rows]
            data[column.label] = pa.array(values, TYPES[column.kind])
            if column.link:
                data[column.label + LINK] = pa.array([column.link(row) for row in rows], pa.string())
    return pa.table(data)


def _value(value: Any, kind: Kind) -> Any:
    if value is None:
        return None
    if kind == "state":
        return [value.label]
    if kind == "text" and value == "":  # only a name that is empty needs a word for that
        return ""
    if kind in ("name", "text"):
        return escape.cell(str(value), escape.LONGEST if kind == "name" else cells.SENTENCE)
    if isinstance(value, Decimal):
        return int(value) if TYPES[kind] == pa.int64() else float(value)
    return value


def height(rows: int) -> int:
    """Return the height in pixels of a grid of `rows` rows, before it is drawn."""
    return HEAD + ROW * min(max(rows, 1), TALLEST)


@lru_cache(maxsize=100)
def configs(columns: tuple[Column, ...], state_labels: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the configuration of each column; `state_labels` are those in the rows."""
    options = {column.label: _config(column, state_labels) for column in columns}
    link = partial(st.column_config.LinkColumn, label="", display_text="→", width=44)
    return options | {
        column.label + LINK: link(help=f"Open: {column.label.lower()}") for column in columns if column.link
    }


def labels(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> tuple[str, ...]:
    """Return the distinct labels of states in these rows."""
    keys = [column.key for column in columns if column.kind == "state"]
    return tuple(dict.fromkeys(row[key].label for row in rows for key in keys if row[key] is not None))


def _config(column: Column, state_labels: tuple[str, ...]) -> Any:
    make = st.column_config
    instant = partial(make.DatetimeColumn, timezone="UTC")
    colours = [COLOURS.get(label, _colour(label)) for label in state_labels]
    kinds: dict[str, Any] = {
        "id": partial(make.NumberColumn, format="%d"),
        "count": partial(make.NumberColumn, format="localized"),
        "bytes": partial(make.NumberColumn, format="bytes"),
        "money": partial(make.NumberColumn, format="%,.2f"),
        "percent": partial(make.NumberColumn, format="percent"),
        "seconds": partial(make.NumberColumn, format="%.3f s"),
        "date": partial(make.DateColumn, format="YYYY-MM-DD"),
        "instant": partial(instant, format="YYYY-MM-DD HH:mm:ss"),
        "age": partial(instant, format="distance"),
        "state": partial(make.MultiselectColumn, options=list(state_labels), color=colours),
    }
    make_column = kinds.get(column.kind, make.TextColumn)
    return make_column(label=column.label, help=column.help, width=column.width)


def _colour(label: str) -> str:
    """Return the colour of a label with words of its own: the colour of its glyph."""
    by_glyph = {state_label.split(maxsplit=1)[0]: colour for state_label, colour in COLOURS.items()}
    return by_glyph.get(label.split(maxsplit=1)[0], states.FILLS["gray"])
