"""Traces of a chart over time. Each series is one trace with all its values; None is a gap, never a zero.

They are dicts, as Plotly's JSON has them: a figure checks each when it takes it, and a graph object would be
checked and copied once more.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

from console.ui.charts import layout, palette
from console.ui.charts.layout import Grain
from console.ui.charts.units import Unit

Values = Sequence[float | None]
Trace = dict[str, Any]
# A click selects the first point under it that has a marker: lines have invisible ones.
UNSEEN = {"mode": "lines+markers", "marker": {"size": 1, "opacity": 0}}
POINTS = 120  # of a line: more markers would touch one another
_FADED = {"unselected": {"marker": {"opacity": 0.45}}, "selected": {"marker": {"opacity": 1}}}


def line(x: Sequence[Any], y: Values, name: str, unit: Unit, grain: Grain, number: int = 0) -> Trace:
    """Return a line that is broken where a value is unknown; a value between two gaps is a point."""
    colour = palette.series(number)
    return {
        "type": "scatter",
        **_basics(x, y, name, unit, grain),
        **_FADED,
        "mode": "lines+markers",
        "connectgaps": False,
        "line": {"color": colour, "width": 2, "dash": palette.dash(number)},
        "marker": {"color": colour, "size": 6 if len(y) <= POINTS else _sizes(y)},
    }


def area(x: Sequence[Any], y: Values, name: str, unit: Unit, grain: Grain, number: int = 0) -> Trace:
    """Return an area that is stacked on those before it."""
    colour = palette.series(number)
    return {
        "type": "scatter",
        **_basics(x, y, name, unit, grain),
        **UNSEEN,
        "stackgroup": "all",
        "stackgaps": "infer zero",
        "line": {"color": colour, "width": 1},
        "fillcolor": colour,
    }


def bars(
    x: Sequence[Any],
    y: Values,
    name: str,
    unit: Unit,
    grain: Grain,
    number: int = 0,
    running: bool = False,
) -> Trace:
    """Return bars that are stacked on those before them; with `running` the last one is hatched."""
    marker: dict[str, Any] = {"color": palette.series(number), "line": {"width": 0}}
    if running and y:
        marker["pattern"] = {"shape": [*("" for _ in y[1:]), "/"]}
    return {"type": "bar", **_basics(x, y, name, unit, grain), **_FADED, "marker": marker}


def recoloured(trace: Trace, colour: str) -> Trace:
    """Return `trace` in another colour, such as `palette.OTHER` for the rest of a top list."""
    another = trace | {"marker": trace["marker"] | {"color": colour}}  # one that is unseen stays so
    if "line" in trace:
        another["line"] = trace["line"] | {"color": colour}
    if "fillcolor" in trace:
        another["fillcolor"] = colour
    return another


def running(series: Trace) -> Trace:
    """Return a trace that dashes the last stretch of a line: the period that is not over yet.

    The series keeps all its values; this trace covers it in the colour of the page.
    """
    return {
        "type": "scatter",
        "x": series["x"][-2:],
        "y": series["y"][-2:],
        "name": series["name"],
        "legendgroup": series["name"],
        "showlegend": False,
        "hoverinfo": "skip",
        "mode": "lines",
        "xperiod": series["xperiod"],
        "xperiodalignment": "middle",
        "yaxis": series["yaxis"],
        "line": {"color": palette.BACKGROUND, "width": 3, "dash": "4px,4px"},
    }


def compared(x: Sequence[Any], y: Values, name: str, unit: Unit, grain: Grain) -> Trace:
    """Return a dashed grey line: the period before, or a year ago, moved to these days."""
    return {
        "type": "scatter",
        **_basics(x, y, name, unit, grain),
        **UNSEEN,
        "connectgaps": False,
        "line": {"color": palette.OTHER, "width": 2, "dash": "dash"},
    }


def _basics(x: Sequence[Any], y: Values, name: str, unit: Unit, grain: Grain) -> Trace:
    return {
        "x": [str(at) if type(at) is date else at for at in x],  # of which the encoder would ask far more
        "y": list(y),
        "name": name,
        "legendgroup": name,
        "showlegend": True,
        "hovertemplate": unit.value,
        "xperiod": layout.PERIODS[grain],
        "xperiodalignment": "middle",
        "yaxis": "y",
    }


def _sizes(y: Values) -> int | list[int]:
    """Return the size of each point of a long line: only what stands alone between gaps is seen."""
    if None not in y:
        return 0
    around = zip((None, *y[:-1]), y, (*y[1:], None), strict=True)
    return [
        6 if value is not None and before is None and after is None else 0 for before, value, after in around
    ]
