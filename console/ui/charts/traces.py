"""Traces of a chart over time. Each series is one trace with all its values; None is a gap, never a zero."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from console.ui.charts import layout, palette
from console.ui.charts.layout import Grain
from console.ui.charts.units import Unit

Values = Sequence[float | None]
# A click chooses the first point under it that has a marker: lines have some that nobody sees.
UNSEEN = {"mode": "lines+markers", "marker": {"size": 1, "opacity": 0}}
POINTS = 120  # of a line: more would touch one another
_FADED = {"unselected": {"marker": {"opacity": 0.45}}, "selected": {"marker": {"opacity": 1}}}


def line(x: Sequence[Any], y: Values, name: str, unit: Unit, grain: Grain, number: int = 0) -> go.Scatter:
    """Return a line that is broken where a value is unknown; a value between two gaps is a point."""
    colour = palette.series(number)
    sizes = [6 if len(y) <= POINTS or _alone(y, place) else 0 for place in range(len(y))]
    return go.Scatter(
        **_basics(x, y, name, unit, grain),
        **_FADED,
        mode="lines+markers",
        connectgaps=False,
        line={"color": colour, "width": 2, "dash": palette.dash(number)},
        marker={"color": colour, "size": sizes},
    )


def area(x: Sequence[Any], y: Values, name: str, unit: Unit, grain: Grain, number: int = 0) -> go.Scatter:
    """Return an area that is stacked on those before it."""
    colour = palette.series(number)
    return go.Scatter(
        **_basics(x, y, name, unit, grain),
        **UNSEEN,
        stackgroup="all",
        stackgaps="infer zero",
        line={"color": colour, "width": 1},
        fillcolor=colour,
    )


def bars(
    x: Sequence[Any],
    y: Values,
    name: str,
    unit: Unit,
    grain: Grain,
    number: int = 0,
    running: bool = False,
) -> go.Bar:
    """Return bars that are stacked on those before them; with `running` the last one is hatched."""
    shapes = ["" for _ in y]
    if running and shapes:
        shapes[-1] = "/"
    return go.Bar(
        **_basics(x, y, name, unit, grain),
        **_FADED,
        marker={"color": palette.series(number), "line": {"width": 0}, "pattern": {"shape": shapes}},
    )


def recoloured(trace: go.Scatter | go.Bar, colour: str) -> go.Scatter | go.Bar:
    """Return `trace` in another colour, such as `palette.OTHER` for the rest of a top list."""
    trace.update(marker={"color": colour})  # one that is unseen stays so
    if isinstance(trace, go.Scatter):
        trace.update(line={"color": colour})
        if trace.fillcolor:
            trace.update(fillcolor=colour)
    return trace


def running(series: go.Scatter) -> go.Scatter:
    """Return what dashes the last stretch of a line: the period that is not over yet.

    The series keeps all its values; this trace lies on it in the colour of the page.
    """
    return go.Scatter(
        x=series.x[-2:],
        y=series.y[-2:],
        name=series.name,
        legendgroup=series.name,
        showlegend=False,
        hoverinfo="skip",
        mode="lines",
        xperiod=series.xperiod,
        xperiodalignment="middle",
        line={"color": palette.BACKGROUND, "width": 3, "dash": "4px,4px"},
    )


def compared(x: Sequence[Any], y: Values, name: str, unit: Unit, grain: Grain) -> go.Scatter:
    """Return a dashed grey line: the period before, or a year ago, moved to these days."""
    return go.Scatter(
        **_basics(x, y, name, unit, grain),
        **UNSEEN,
        connectgaps=False,
        line={"color": palette.OTHER, "width": 2, "dash": "dash"},
    )


def _basics(x: Sequence[Any], y: Values, name: str, unit: Unit, grain: Grain) -> dict[str, Any]:
    return {
        "x": list(x),
        "y": list(y),
        "name": name,
        "legendgroup": name,
        "showlegend": True,
        "hovertemplate": unit.value,
        "xperiod": layout.PERIODS[grain],
        "xperiodalignment": "middle",
        "yaxis": "y",
    }


def _alone(y: Values, place: int) -> bool:
    around = (*y[max(place - 1, 0) : place], *y[place + 1 : place + 2])
    return y[place] is not None and all(value is None for value in around)
