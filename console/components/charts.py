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
    limit_label: str = "included",
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
        figure.add_hline(y=limit, line_dash="dash", line_color=RED, annotation_text=limit_label)
    if marked:
        at = {moment: value for moment, value in zip(x, values, strict=True) if moment in marked}
        figure.add_scatter(
            x=list(at),
            y=list(at.values()),
            text=[marked[moment] for moment in at],
            mode="markers",
            marker={"symbol": "diamond-open", "size": 14, "color": RED, "line": {"width": 3}},
            hovertemplate="%{x|%Y-%m-%d}<br>%{text}<extra></extra>",
        )
    figure.update_layout(
        margin={"l": 8, "r": 8, "t": 16, "b": 8},
        height=320,
        showlegend=False,
        hovermode="x",
        dragmode="zoom",
    )
    highest = max((value for value in values if value is not None), default=0)
    if limit is not None and limit < 3 * highest:  # a line far above would press the usage flat
        highest = max(highest, limit)
    figure.update_yaxes(
        range=[0, max(highest * 1.08, 4)], tickformat=".3~s", ticksuffix="B" if unit == "bytes" else ""
    )
    st.plotly_chart(
        figure, key=key, alt=alt, config={"displayModeBar": False, "scrollZoom": False, "displaylogo": False}
    )


def calendar(rows: Sequence[Mapping[str, Any]], alt: str, key: str) -> None:
    """A calendar: days in order, days that `missing` projects lack (with how many), days not expected."""
    first, last = rows[0]["date"], rows[-1]["date"]
    weeks = (last - first).days // 7 + 2
    size = 26 if weeks < 32 else 15
    lacking = [
        _cell(row, f"missing in {row['missing']:,}") | {"itemStyle": {"opacity": _heat(row)}}
        for row in rows
        if row["missing"]
    ]
    sealed = [
        _cell(row, f"sealed for {row['sealed']:,}") for row in rows if row["sealed"] and not row["missing"]
    ]
    blank = [_cell(row, "not expected") for row in rows if not row["sealed"] and not row["missing"]]
    st.echarts_chart(
        {
            "animation": False,
            "tooltip": {"formatter": "{b}"},
            "legend": {"left": 0, "top": 0, "itemWidth": 12, "itemHeight": 12},
            "calendar": {
                "range": [f"{first}", f"{last}"],
                "cellSize": [size + 2, size + 2],
                "left": 36,
                "top": 56,
                "splitLine": {"show": False},
                "itemStyle": {"color": "transparent", "borderWidth": 0},
                "yearLabel": {"show": False},
                "dayLabel": {"firstDay": 1},
            },
            "series": [
                _cells("Sealed", sealed, {"color": GREEN, "opacity": 0.55}, size),
                _cells("Missing", lacking, {"color": RED}, size, size > 20),
                _cells("Not expected", blank, {"color": "#8a95a1", "opacity": 0.25}, size),
            ],
        },
        height=76 + 7 * (size + 2),
        key=key,
        alt=alt,
    )


def _heat(row: Mapping[str, Any]) -> float:
    """The more projects lack a day, the stronger its colour; the number on it stays readable."""
    share = float(row["missing"] / (row["missing"] + row["sealed"]))
    return round(0.7 + 0.3 * share, 2)


def _cell(row: Mapping[str, Any], state: str) -> dict[str, Any]:
    return {"value": [f"{row['date']}", row["missing"]], "name": f"{row['date']}: {state}"}


def _cells(
    name: str, data: list[dict[str, Any]], style: dict[str, Any], size: int, labelled: bool = False
) -> dict[str, Any]:
    return {
        "name": name,
        "type": "scatter",
        "coordinateSystem": "calendar",
        "symbol": "roundRect",
        "symbolSize": size - 2,
        "data": data,
        "itemStyle": style,
        "label": {"show": labelled, "formatter": "{@[1]}", "color": "#ffffff", "fontWeight": 600},
    }
