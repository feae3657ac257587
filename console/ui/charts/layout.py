"""The template of every chart over time: axes, hover, zoom, legend, range slider."""

from typing import Any, Literal

import plotly.graph_objects as go

from console.ui.charts import palette, units

Grain = Literal["hour", "day", "week", "month"]
HEIGHT, SLIDER = 340, 56  # pixels
HOUR = 3_600_000  # milliseconds, in which Plotly measures time
DAY = 24 * HOUR
PERIODS: dict[str, int | str] = {"hour": HOUR, "day": DAY, "week": 7 * DAY, "month": "M1"}
_HOVERS = {
    "hour": "%a %-d %b %Y, %H:%M UTC",
    "day": "%a %-d %b %Y",
    "week": "Week %V, from %a %-d %b %Y",
    "month": "%B %Y",
}
# With the weekday where days are distinct, the year where they are not.
_TICKS = [
    {"dtickrange": [None, DAY - 1], "value": "%H:%M\n%a %-d %b"},
    {"dtickrange": [DAY, 7 * DAY - 1], "value": "%a %-d\n%b %Y"},
    {"dtickrange": [7 * DAY, "M1"], "value": "%a %-d %b\n%Y"},
    {"dtickrange": ["M1", "M12"], "value": "%b\n%Y"},
    {"dtickrange": ["M12", None], "value": "%Y"},
]
# The modebar's buttons that help with time; a double click resets as well.
CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "scrollZoom": False,
    "doubleClick": "reset",
    "modeBarButtonsToRemove": ["autoScale2d", "lasso2d"],
}


def over_time(unit: units.Unit, grain: Grain, revision: str, slider: bool = False) -> go.Figure:
    """Return a figure without traces whose x are instants in UTC or days, of one `grain`.

    `revision` names the question: while it stays the same, a zoom outlives a rerun.
    The axes `y2` below the traces and `y3` above them run from 0 to 1, for columns (see `marks`).
    """
    time = {
        "type": "date",
        "hoverformat": _HOVERS[grain],
        "tickformatstops": _TICKS,
        "ticklabelmode": "period" if grain != "hour" else "instant",
        "rangeslider": {
            "visible": slider,
            "thickness": 0.12,
            "bordercolor": palette.OTHER,
            "borderwidth": 1,
        },
    }
    axes = {"xaxis": time, "yaxis": value_axis(unit), "yaxis2": _WHOLE}
    axes["yaxis3"] = _WHOLE | {"overlaying": "y2"}
    height = HEIGHT + (SLIDER if slider else 0)
    return go.Figure(layout=common(revision, height) | axes | {"hovermode": "x unified"})


def common(revision: str, height: int = HEIGHT) -> dict[str, Any]:
    """Return the layout of every chart, also of those without a time axis."""
    return {
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 40, "b": 8},
        "dragmode": "zoom",
        "clickmode": "event+select",
        "barmode": "stack",
        "bargap": 0.2,
        "uirevision": revision,
        "colorway": list(palette.SERIES),
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0},
        "hoverlabel": {"namelength": 40},
        "modebar": {"orientation": "v"},
    }


def value_axis(unit: units.Unit) -> dict[str, Any]:
    """Return the axis of values, from zero, with at most six labels, so that none touches another."""
    return {
        "rangemode": "tozero",
        "nticks": 6,
        "tickmode": "auto",  # else those of the axis below
        "tickformat": unit.axis,
        "ticksuffix": unit.suffix,
        "fixedrange": True,  # a drag zooms into time
        "overlaying": "y2",
        "side": "left",
    }


_WHOLE: dict[str, Any] = {"range": [0, 1], "visible": False, "fixedrange": True}
