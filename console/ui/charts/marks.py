"""The marks around the series, each a trace of its own: quality, expected band, limits, unusual moments."""

import calendar
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Any

import plotly.graph_objects as go

from console.ui.charts import layout, palette
from console.ui.charts.layout import Grain
from console.ui.charts.traces import UNSEEN, Trace, Values
from console.ui.charts.units import Unit

FAR = 3  # times the highest value: a limit above that is shown only after a click in the legend


def quality(words: Mapping[Any, str], grain: Grain, name: str = "Not measured whole") -> Trace:
    """Return hatched columns behind the periods in `words`, with the reason in the hover.

    Hatched are periods that are not sealed, or measured in part, or whose level is carried over.
    """
    pattern = {"shape": "/", "fgcolor": palette.HATCH, "size": 7, "solidity": 0.2}
    marker = {"color": "rgba(0,0,0,0)", "line": {"width": 0}, "pattern": pattern}
    return _columns(words, grain, "y2") | {"name": name, "showlegend": True, "marker": marker}


def blank(x: Sequence[Any], grain: Grain) -> Trace:
    """Return columns of the page's colour over unknown periods of stacked areas, which cannot have gaps."""
    words = dict.fromkeys(x, "unknown")
    marker = {"color": palette.BACKGROUND, "line": {"width": 0}}
    return _columns(words, grain, "y3") | {"name": "Unknown", "showlegend": False, "marker": marker}


def _columns(words: Mapping[Any, str], grain: Grain, axis: str) -> Trace:
    return {
        "type": "bar",
        "x": list(words),
        "y": [1] * len(words),
        "customdata": list(words.values()),
        "yaxis": axis,
        "xperiod": layout.PERIODS[grain],
        "xperiodalignment": "middle",
        "width": [_length(at, grain) for at in words],
        "hovertemplate": "%{customdata}<extra></extra>",
    }


def _length(at: Any, grain: Grain) -> int:
    """Return the milliseconds of the period that begins at `at`, a day or its text."""
    if grain != "month":
        return int(layout.PERIODS[grain])
    month = at if isinstance(at, date) else date.fromisoformat(str(at)[:10])
    return layout.DAY * calendar.monthrange(month.year, month.month)[1]


def band(x: Sequence[Any], low: Values, high: Values, unit: Unit, grain: Grain) -> list[go.Scatter]:
    """Return the fill of the expected range and its two edges, below the series."""
    common = {"connectgaps": False, "legendgroup": "band", "zorder": -1}
    common |= {"xperiod": layout.PERIODS[grain], "xperiodalignment": "middle"}
    edge = UNSEEN | {"line": {"color": palette.OTHER, "width": 1, "dash": "dot"}, "hovertemplate": unit.value}
    fill = {
        "mode": "lines",
        "fill": "toself",
        "fillcolor": palette.BAND,
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    around_x, around_y = _outline(x, low, high)
    return [
        go.Scatter(**common, **fill, x=around_x, y=around_y, name="Expected"),
        go.Scatter(**common, **edge, x=list(x), y=list(low), name="Expected from", showlegend=False),
        go.Scatter(**common, **edge, x=list(x), y=list(high), name="Expected to", showlegend=False),
    ]


def _outline(x: Sequence[Any], low: Values, high: Values) -> tuple[list[Any], list[float | None]]:
    """Return the outline of each stretch with both edges known; None separates two stretches."""
    around_x: list[Any] = []
    around_y: list[float | None] = []
    rows = list(zip(x, low, high, strict=True))
    for has_both, group in groupby(rows, key=lambda row: row[1] is not None and row[2] is not None):
        if has_both:
            stretch = list(group)
            around_x += [row[0] for row in (*stretch, *reversed(stretch))] + [None]
            around_y += [row[2] for row in stretch] + [row[1] for row in reversed(stretch)] + [None]
    return around_x, around_y


def limit(x: Sequence[Any], value: float, highest: float, name: str, unit: Unit, grain: Grain) -> go.Scatter:
    """Return a dashed line at `value`; where it is far above, it is off until the legend is clicked.

    Otherwise the usage would be flat at the bottom.
    """
    return go.Scatter(
        x=list(x),
        y=[value] * len(x),
        name=name,
        **UNSEEN,
        showlegend=True,
        visible="legendonly" if value > FAR * highest else True,
        line={"color": palette.MARK, "width": 2, "dash": "dash"},
        hovertemplate=unit.value,
        xperiod=layout.PERIODS[grain],
        xperiodalignment="middle",
    )


def unusual(x: Sequence[Any], y: Values, words: Sequence[str], grain: Grain) -> go.Scatter:
    """Return diamonds around moments, with a sentence for each."""
    return go.Scatter(
        x=list(x),
        y=list(y),
        customdata=list(words),
        name="Unusual",
        mode="markers",
        showlegend=True,
        marker={
            "symbol": "diamond-open",
            "size": 16,
            "color": palette.MARK,
            "line": {"width": 3, "color": palette.MARK},
        },
        hovertemplate="%{customdata}",
        xperiod=layout.PERIODS[grain],
        xperiodalignment="middle",
    )


def events(x: Sequence[Any], words: Sequence[str], name: str, grain: Grain, symbol: str, at: float) -> Trace:
    """Return a mark for each moment of `x` at the height `at`, from 0 at the bottom to 1, with its words."""
    return {
        "type": "scatter",
        "x": list(x),
        "y": [at] * len(x),
        "customdata": list(words),
        "name": name,
        "mode": "markers",
        "showlegend": True,
        "yaxis": "y3",
        "marker": {"symbol": symbol, "size": 11, "color": palette.MARK},
        "hovertemplate": "%{customdata}",
        "xperiod": layout.PERIODS[grain],
        "xperiodalignment": "middle",
    }
