"""Tables: unknown is a word, numbers keep their separators, bytes their unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Literal, cast

import pandas as pd
import streamlit as st

from console import figures, names

SENTENCE = 400  # characters of a cell of text that are shown
Kind = Literal["text", "name", "id", "count", "bytes", "money", "date", "instant", "seconds", "share"]


@dataclass(frozen=True)
class Column:
    """A column: the row's key, its heading, and what kind of value it holds."""

    key: str
    label: str
    kind: Kind = "text"
    help: str | None = None


def frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> pd.DataFrame:
    """Rows as a data frame with the columns' keys; what is unknown stays missing."""
    return pd.DataFrame({column.key: _series(rows, column) for column in columns})


def _series(rows: Sequence[Mapping[str, Any]], column: Column) -> "pd.Series[Any]":
    values = [row[column.key] for row in rows]
    if column.kind in ("id", "count", "bytes"):
        return pd.Series(values, dtype="Int64")
    if column.kind in ("money", "seconds", "share"):
        return pd.Series([float(v) if isinstance(v, Decimal) else v for v in values], dtype="Float64")
    if column.kind in ("name", "text"):
        longest = names.LONGEST if column.kind == "name" else SENTENCE
        values = [
            names.cell(value, longest) if value and isinstance(value, str) else value for value in values
        ]
    return pd.Series(values, dtype="object")


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
    placeholder: str = figures.UNKNOWN,
) -> list[int]:
    """Show rows; with `select`, return the numbers of those that are ticked (`one`: at most one)."""
    shown = st.dataframe(
        frame(rows, columns),
        column_config={column.key: _config(column) for column in columns},
        hide_index=True,
        placeholder=placeholder,
        key=key,
        on_select="rerun" if select else "ignore",
        selection_mode="single-row" if select == "one" else "multi-row",
        height=height,
        alt=alt,
    )
    return list(cast(Any, shown)["selection"]["rows"]) if select else []
