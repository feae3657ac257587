"""The fleet's messages by day, as Streamlit's own bars: light enough for the first page."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import streamlit as st

from console.data.queries.rows import Row
from console.ui.charts import palette

HEIGHT = 260  # pixels
SERIES = {"inbound": "Messages in", "outbound": "Messages out"}
PART = "Sealed without some projects"
ALT = "Messages in and out by day; a day without a bar is missing"


def render(trend: Sequence[Row], incomplete: Collection[date]) -> None:
    """Stack bars by day; days that lack a project's snapshot have a colour of their own."""
    parts = any(row["date"] in incomplete and row["messages"] for row in trend)
    names = [*SERIES.values(), *([PART] if parts else [])]
    rows = [_row(row, row["date"] in incomplete) for row in trend]
    st.bar_chart(
        pa.table({name: [row[name] for row in rows] for name in ("Day", *names)}),
        x="Day",
        y=names,
        color=[*palette.own(0, 1), *([palette.own(7)[0]] if parts else [])],
        x_label="",
        y_label="",
        height=HEIGHT,
        alt=ALT,
    )


def _row(row: Row, is_incomplete: bool) -> dict[str, Any]:
    whole = {label: None if is_incomplete else row[name] for name, label in SERIES.items()}
    return {"Day": row["date"], **whole, PART: row["messages"] if is_incomplete else None}
