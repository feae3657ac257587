"""Tables: unknown is a word, numbers keep their separators, bytes their unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, Literal, cast

import pyarrow as pa
import streamlit as st

from console.ui import escape, format

SENTENCE = 400  # characters of a cell of text: our own sentences, which end with the remedy
Kind = Literal["text", "name", "id", "count", "bytes", "money", "date", "instant", "seconds", "share"]


@dataclass(frozen=True)
class Column:
    """A column: the row's key, its heading, and what kind of value it holds."""

    key: str
    label: str
    kind: Kind = "text"
    help: str | None = None


KINDS: Mapping[Kind, pa.DataType] = {
    **dict.fromkeys(("id", "count", "bytes"), pa.int64()),
    **dict.fromkeys(("money", "seconds", "share"), pa.float64()),
    **dict.fromkeys(("text", "name"), pa.string()),
    "date": pa.date32(),
    "instant": pa.timestamp("us", "UTC"),
}


def arrow(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> pa.Table:
    """Rows as what the browser is sent, with the columns' keys; what is unknown stays missing.

    By way of pandas the same takes ten times as long.
    """
    made = {
        column.key: pa.array([_value(row[column.key], column.kind) for row in rows], KINDS[column.kind])
        for column in columns
    }
    return pa.table(made)


def _value(value: Any, kind: Kind) -> Any:
    if value is None:
        return None
    if kind == "text" and value == "":  # only a name that is empty needs a word for that
        return ""
    if kind in ("name", "text"):
        return escape.cell(str(value), escape.LONGEST if kind == "name" else SENTENCE)
    if isinstance(value, Decimal):
        return int(value) if KINDS[kind] == pa.int64() else float(value)
    return value


@lru_cache(maxsize=100)
def _configs(columns: tuple[Column, ...]) -> dict[str, Any]:
    return {column.key: _config(column) for column in columns}


def _config(column: Column) -> Any:
    make = st.column_config
    kinds: dict[str, Any] = {
        "id": partial(make.NumberColumn, format="%d"),
        "count": partial(make.NumberColumn, format="localized"),
        "bytes": partial(make.NumberColumn, format="bytes"),
        "money": partial(make.NumberColumn, format="%,.2f"),
        "seconds": partial(make.NumberColumn, format="%.1f s"),
        "share": partial(make.ProgressColumn, format="percent", min_value=0.0, max_value=1.0),
        "date": partial(make.DateColumn, format="YYYY-MM-DD"),
        "instant": partial(make.DatetimeColumn, format="YYYY-MM-DD HH:mm:ss", timezone="UTC"),
    }
    return kinds.get(column.kind, make.TextColumn)(label=column.label, help=column.help)


def table(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    key: str,
    alt: str,
    select: bool | Literal["one"] = False,
    height: int | Literal["auto"] = "auto",
    placeholder: str = format.UNKNOWN,
) -> list[int]:
    """Show rows; with `select`, return the numbers of those that are ticked (`one`: at most one).

    Streamlit remembers places, not rows: once other rows stand there, nothing is ticked any more.
    """
    frame = st.dataframe(
        arrow(rows, columns),
        column_config=_configs(tuple(columns)),
        hide_index=True,
        placeholder=placeholder,
        key=f"{key}-{_identity(rows, columns)}" if select else key,
        on_select="rerun" if select else "ignore",
        selection_mode="single-row" if select == "one" else "multi-row",
        height=height,
        alt=alt,
    )
    return list(cast(Any, frame)["selection"]["rows"]) if select else []


def untick(key: str) -> None:
    """Tick nothing any more in the table of that key."""
    for name in st.session_state:
        if str(name).startswith(f"{key}-"):
            st.session_state[name] = {"selection": {"rows": [], "columns": [], "cells": []}}


def _identity(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> int:
    keys = [column.key for column in columns if column.kind == "id"]
    return hash(tuple(row[key] for row in rows for key in keys))
