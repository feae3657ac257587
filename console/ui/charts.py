"""Charts, all of one library that is light where people arrive. Gaps are gaps, not zeros.

No chart shows a name that somebody chose: labels are meters, dates and hours.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from console.ui import format

BLUE, ORANGE, GREEN, PURPLE, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
FAR = 3  # times the highest usage: a limit above is said in words


def explore(
    x: Sequence[str],
    values: Sequence[int | None],
    label: str,
    unit: str,
    alt: str,
    key: str,
    bars: bool = False,
    limit: int | None = None,
    limit_label: str = "included",
    marked: Mapping[str, str] | None = None,
    band: Sequence[tuple[int | None, int | None]] = (),
) -> None:
    """One meter over time, to read and zoom; `limit` is a line, `marked` points out moments with a word.

    `band` is the least and the most expected at each moment, in the meter's unit.
    """
    tops = [value for value in (*values, *(high for _, high in band)) if value is not None]
    highest = max(tops, default=0)
    far = limit is not None and limit >= FAR * highest  # a line far above would press the usage flat
    line = None if far else limit
    divisor, unit_word = format.scale(max(highest, line or 0)) if unit == "bytes" else (1, "")
    scaled = [_scaled(value, divisor) for value in values]
    st.echarts_chart(
        {
            "animation": False,
            "aria": {"enabled": True},
            "grid": {"left": 8, "right": 16, "top": 32, "bottom": 4, "containLabel": True},
            "tooltip": {
                "trigger": "axis",
                "valueFormatter": f"%,.3g {unit_word}" if unit_word else "localized",
            },
            "xAxis": {
                "type": "category",
                "data": list(x),
                "axisTick": {"show": False},
                "axisLabel": {"hideOverlap": True},
            },
            "yAxis": {"type": "value", "splitNumber": 4, "name": unit_word} | _top(highest, line, divisor),
            "dataZoom": [{"type": "inside", "zoomOnMouseWheel": "ctrl"}],
            "series": [
                *_band(band, divisor),
                _usage(label, scaled, bars, line and _scaled(line, divisor), limit_label),
                _marks(x, scaled, marked or {}),
            ],
        },
        height=320,
        key=key,
        alt=alt,
    )
    if far and limit is not None:
        st.caption(f"Far above this chart: {format.quantity(limit, unit)} {limit_label}.")


def _top(highest: int, line: int | None, divisor: int) -> dict[str, Any]:
    """Room for the line, to two digits; without one the axis ends where ECharts finds it round."""
    if line is None:
        return {}
    top = max(highest, line, 1) * 1.05
    digits = 10.0 ** (len(str(int(top))) - 2)
    return {"max": math.ceil(top / digits) * digits / divisor}


def _scaled(value: int | None, divisor: int) -> float | None:
    return value if value is None or divisor == 1 else value / divisor


def _usage(
    label: str, values: Sequence[float | None], bars: bool, limit: float | None, limit_label: str
) -> dict[str, Any]:
    series: dict[str, Any] = {"name": label, "type": "bar" if bars else "line", "data": list(values)}
    series["itemStyle"] = series["lineStyle"] = {"color": BLUE}
    series |= {"barMaxWidth": 22, "connectNulls": False, "symbolSize": 5}
    if limit is not None:
        series["markLine"] = {
            "silent": True,
            "symbol": "none",
            "lineStyle": {"type": "dashed", "color": RED, "width": 2},
            "label": {"formatter": limit_label, "position": "insideEndTop"},
            "data": [{"yAxis": limit}],
        }
    return series


def _marks(x: Sequence[str], values: Sequence[float | None], marked: Mapping[str, str]) -> dict[str, Any]:
    """Diamonds around the moments of `marked`; hidden from the tooltip, which has the value already."""
    points = [[at, value] for at, value in zip(x, values, strict=True) if at in marked and value is not None]
    return {
        "name": "Unusual",
        "type": "scatter",
        "data": points,
        "symbol": "diamond",
        "symbolSize": 18,
        "itemStyle": {"color": "transparent", "borderColor": RED, "borderWidth": 3},
        "tooltip": {"show": False},
    }


def _band(band: Sequence[tuple[int | None, int | None]], divisor: int) -> list[dict[str, Any]]:
    """Two invisible lines, the second stacked on the first, with the room between them filled."""
    if not band:
        return []
    low = [_scaled(one, divisor) for one, _ in band]
    room = [None if a is None or b is None else _scaled(b - a, divisor) for a, b in band]
    plain = {"type": "line", "stack": "band", "symbol": "none", "lineStyle": {"opacity": 0}, "silent": True}
    plain["tooltip"] = {"show": False}
    filled = {"areaStyle": {"color": SKY, "opacity": 0.3}, "itemStyle": {"color": SKY}}
    return [
        {**plain, "name": "Least expected", "data": low},
        {**plain, "name": "Expected", "data": room, **filled},
    ]


def calendar(rows: Sequence[Mapping[str, Any]], alt: str, key: str) -> None:
    """Render a calendar: days in order, days missing in some projects, days not expected."""
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
    """Return a stronger colour for a day that more projects lack; its number stays readable."""
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
