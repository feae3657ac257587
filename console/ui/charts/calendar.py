"""A calendar of days: weeks from left to right, weekdays from top to bottom."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import plotly.graph_objects as go

from console.ui.charts import layout, palette

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
CELL = 30  # pixels
LOOKS = {"Sealed": palette.SERIES[2], "Missing": palette.SERIES[5], "Not expected": palette.OTHER}


def figure(rows: Sequence[Mapping[str, Any]], revision: str) -> go.Figure:
    """Return the days of `rows` (`date`, `missing` and `sealed` projects), each a cell with its number."""
    chart = go.Figure(layout=layout.common(revision, 92 + 7 * CELL))
    for state in LOOKS:
        chart.add_trace(_cells([row for row in rows if _state(row) == state], state))
    chart.update_xaxes(type="date", tickformat="%-d %b\n%Y", showgrid=False, fixedrange=True)
    chart.update_yaxes(
        type="category", categoryorder="array", categoryarray=WEEKDAYS[::-1], showgrid=False, fixedrange=True
    )
    return chart


def _cells(rows: Sequence[Mapping[str, Any]], state: str) -> go.Scatter:
    return go.Scatter(
        x=[row["date"] - timedelta(days=row["date"].weekday()) for row in rows],
        y=[WEEKDAYS[row["date"].weekday()] for row in rows],
        name=state,
        showlegend=True,
        mode="markers+text",
        text=[f"{row['missing']:,}" if row["missing"] else "" for row in rows],
        textfont={"color": palette.BACKGROUND, "size": 11},
        ids=[str(row["date"]) for row in rows],
        customdata=[f"{row['date']:%a %-d %b %Y}: {_words(row)}" for row in rows],
        hovertemplate="%{customdata}<extra></extra>",
        marker={"symbol": "square", "size": CELL - 8, "color": LOOKS[state]},
    )


def _state(row: Mapping[str, Any]) -> str:
    return "Missing" if row["missing"] else "Sealed" if row["sealed"] else "Not expected"


def _words(row: Mapping[str, Any]) -> str:
    if row["missing"]:
        return f"missing in {row['missing']:,} of {row['missing'] + row['sealed']:,} projects"
    return f"sealed for {row['sealed']:,} projects" if row["sealed"] else "not expected"
