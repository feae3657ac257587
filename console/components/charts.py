"""Charts: light ones where people arrive, Plotly where they explore. Gaps are gaps, not zeros.

No chart shows a name that somebody chose: labels are meters, dates and hours.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

BLUE, ORANGE, GREEN, PURPLE, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"


def days(rows: Sequence[Mapping[str, Any]], series: Mapping[str, str], unit: str, alt: str, key: str) -> None:
    """Bars stacked by day; `series` maps a row's key to its label."""
    colours = (BLUE, ORANGE, GREEN, PURPLE)
    st.echarts_chart(
        {
            "color": list(colours),
            "animation": False,
            "grid": {"left": 8, "right": 8, "top": 32, "bottom": 4, "containLabel": True},
            "legend": {"top": 0, "left": 0, "icon": "roundRect", "itemWidth": 10, "itemHeight": 10},
            "tooltip": {
                "trigger": "axis",
                "valueFormatter": "bytes" if unit == "bytes" else "localized",
            },
            "xAxis": {
                "type": "category",
                "data": [f"{row['date']:%Y-%m-%d}" for row in rows],
                "axisTick": {"show": False},
                "axisLabel": {"hideOverlap": True},
            },
            "yAxis": {"type": "value", "splitNumber": 4},
            "series": [
                {
                    "name": label,
                    "type": "bar",
                    "stack": "all",
                    "barMaxWidth": 22,
                    "data": [row[name] for row in rows],
                }
                for name, label in series.items()
            ],
        },
        height=280,
        key=key,
        alt=alt,
    )


def explore(
    x: Sequence[Any],
    values: Sequence[int | None],
    label: str,
    unit: str,
    alt: str,
    key: str,
    bars: bool = False,
    limit: int | None = None,
    marked: Mapping[Any, str] | None = None,
) -> None:
    """One meter over time, to zoom and read; `limit` is a line, `marked` points out instants."""
    figure = go.Figure()
    hover = "%{x|%Y-%m-%d %H:%M}<br>%{y:,}" if bars else "%{x|%Y-%m-%d}<br>%{y:,}"
    trace: dict[str, Any] = {"x": list(x), "y": list(values), "name": label}
    trace["hovertemplate"] = f"{hover}<extra></extra>"
    if bars:
        figure.add_bar(**trace, marker_color=BLUE)
    else:
        figure.add_scatter(
            **trace, mode="lines+markers", connectgaps=False, line_color=BLUE, line_width=2, marker_size=5
        )
    if limit is not None:
        figure.add_hline(y=limit, line_dash="dash", line_color=RED, annotation_text="allowance")
    for instant, sentence in (marked or {}).items():
        figure.add_vline(x=instant, line_dash="dot", line_color=ORANGE, annotation_text=sentence)
    figure.update_layout(
        margin={"l": 8, "r": 8, "t": 16, "b": 8},
        height=320,
        showlegend=False,
        hovermode="x",
        dragmode="zoom",
    )
    figure.update_yaxes(rangemode="tozero", tickformat=".3~s", ticksuffix="B" if unit == "bytes" else "")
    st.plotly_chart(
        figure, key=key, alt=alt, config={"displayModeBar": False, "scrollZoom": False, "displaylogo": False}
    )


def calendar(rows: Sequence[Mapping[str, Any]], alt: str, key: str) -> None:
    """A calendar in which days with `missing` projects stand out; the number is written in the day."""
    first, last = rows[0]["date"], rows[-1]["date"]
    weeks = (last - first).days // 7 + 2
    st.echarts_chart(
        {
            "animation": False,
            "tooltip": {"formatter": "{c}"},
            "visualMap": {
                "show": False,
                "type": "piecewise",
                "dimension": 1,
                "pieces": [
                    {"value": 0, "color": "#0072B2", "colorAlpha": 0.30},
                    {"min": 1, "color": "#D55E00"},
                ],
            },
            "calendar": {
                "range": [f"{first}", f"{last}"],
                "cellSize": [26, 20] if weeks < 20 else ["auto", 16],
                "left": 40,
                "top": 24,
                "splitLine": {"show": False},
                "itemStyle": {"color": "transparent", "borderWidth": 0},
                "yearLabel": {"show": False},
                "dayLabel": {"firstDay": 1},
            },
            "series": [
                {
                    "type": "heatmap",
                    "coordinateSystem": "calendar",
                    "data": [[f"{row['date']}", row["missing"]] for row in rows],
                    "label": {"show": weeks < 20, "formatter": "{@[1]}", "fontSize": 10},
                    "itemStyle": {"borderRadius": 3, "borderWidth": 2, "borderColor": "transparent"},
                }
            ],
        },
        height=190,
        key=key,
        alt=alt,
    )
