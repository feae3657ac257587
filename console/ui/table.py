"""Tables: a data frame on wide screens, cards on narrow ones, from one description of the columns."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import streamlit as st

from console.ui import cards, format, grid, room
from console.ui.cells import SENTENCE
from console.ui.columns import Column, Kind

__all__ = ["SENTENCE", "Column", "Kind", "table", "untick"]


def table(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    key: str,
    alt: str,
    select: bool | Literal["one"] = False,
    height: int | Literal["auto"] = "auto",
    placeholder: str = format.UNKNOWN,
) -> list[int]:
    """Show rows; with `select`, return the numbers of the ticked rows (`one`: at most one).

    `key` also names the file of a download. Streamlit remembers positions, not rows: once other rows are
    there, none is ticked any more. The cards of a narrow screen cannot be ticked.
    """
    with st.container(key=f"wide-{key}"):
        frame = st.dataframe(
            grid.arrow(rows, columns),
            column_config=grid.configs(tuple(columns), grid.labels(rows, columns)),
            hide_index=True,
            placeholder=placeholder,
            key=f"{key}-{_identity(rows, columns)}" if select else key,
            on_select="rerun" if select else "ignore",
            selection_mode="single-row" if select == "one" else "multi-row",
            height=grid.height(len(rows)) if height == "auto" else height,
            alt=alt,
        )
    narrow = cards.html(rows, columns, alt, placeholder)
    with st.container(key=f"narrow-{key}"):
        room.room(f"cards-{key}", room.STEP, cards.height(narrow)).html(narrow)
    return list(cast(Any, frame)["selection"]["rows"]) if select else []


def untick(key: str) -> None:
    """Untick every row of the table of that key."""
    for name in st.session_state:
        if str(name).startswith(f"{key}-"):
            st.session_state[name] = {"selection": {"rows": [], "columns": [], "cells": []}}


def _identity(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> int:
    keys = [column.key for column in columns if column.kind == "id"]
    return hash(tuple(row[key] for row in rows for key in keys))
