"""The figure of an answer, one builder for each look; colours, axes and marks are those of every chart."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from console.data.explore import shapes
from console.data.explore.distribution import Distribution
from console.ui import escape
from console.ui.charts import layout, marks, notes, palette, traces, units
from console.views.explore.series import Series, Shown, name_of

STACKED_AREAS, STACKED = ("area", "share"), ("area", "share", "bar")  # looks
LONG = 60  # periods from which on a slider under the chart helps


def plain(values: Sequence[Any]) -> list[Any]:
    """Return values as Plotly takes them; an amount of money is a float there."""
    return [float(value) if isinstance(value, Decimal) else value for value in values]


def build(shown: Shown, look: str, revision: str) -> go.Figure:
    """Return the figure of `shown` as `look`: line, bar, area, share or cumulative."""
    unit = units.SHARE if look == "share" else units.of(*_first_unit(shown))
    figure = layout.over_time(unit, shown.grain, revision, slider=len(shown.periods) > LONG)
    gaps = broken(shown) if look in STACKED_AREAS else set()
    drawn: list[Any] = []
    for number, series in enumerate(shown.series):
        axis = _axis(shown, series) if look != "share" else "y"
        # Bars of two units would stand on one another: those of the second are a line.
        trace = traces.line if look == "bar" and axis != "y" else _TRACES[look]
        own_unit = unit if look == "share" else units.of(series.unit, series.currency)
        values = [None if place in gaps else v for place, v in enumerate(plain(series.values))]
        own = trace(shown.periods, values, _name(series), own_unit, shown.grain, number) | {"yaxis": axis}
        drawn.append(traces.recoloured(own, palette.OTHER) if series.is_rest else own)
        if shown.running and look in ("line", "cumulative"):
            drawn.append(traces.running(own))
        if series.before is not None and look != "area":
            before = traces.compared(
                shown.periods, plain(series.before), f"{_name(series)}, before", own_unit, shown.grain
            )
            drawn.append(before | {"yaxis": axis})
    _second_axis(figure, shown, look)
    figure.add_traces([*drawn, *_marks(shown, look)])
    if shown.happened is not None:
        around = shown.happened
        notes.annotate(figure, around.notes, around.first, around.last, shown.grain)
        notes.deployments(figure, around.deployments, shown.grain)
    return figure


def broken(shown: Shown) -> set[int]:
    """Return the places of periods in which a stack of areas is not drawn: a series in it is unknown.

    Without that the stack would drop as if the unknown were zero. Before its first known value a series
    has not begun: the others are drawn, and the period is hatched.
    """
    return {
        place
        for series in shown.series
        for place, value in enumerate(series.values)
        if value is None and (place >= _beginning(series) or _nobody(shown, place))
    }


def _beginning(series: Series) -> int:
    known = (place for place, value in enumerate(series.values) if value is not None)
    return next(known, len(series.values))


def _nobody(shown: Shown, place: int) -> bool:
    return all(series.values[place] is None for series in shown.series)


def incomplete(shown: Shown) -> dict[Any, str]:
    """Return the periods in which some series are unknown and others are not, with a sentence for each."""
    counts = {
        period: sum(series.values[place] is not None for series in shown.series)
        for place, period in enumerate(shown.periods)
    }
    every = len(shown.series)
    return {
        period: f"{known} of {every} series known" for period, known in counts.items() if 0 < known < every
    }


_TRACES: dict[str, Callable[..., traces.Trace]] = {
    "line": traces.line,
    "cumulative": traces.line,
    "bar": traces.bars,
    "area": traces.area,
    "share": traces.area,
}


def _name(series: Series) -> str:
    """Return the name as Plotly's own markup shows it: as it is."""
    return escape.plotly(series.name)


def _first_unit(shown: Shown) -> tuple[str, str]:
    return shown.units[0] if shown.units else ("count", "")


def _axis(shown: Shown, series: Series) -> str:
    """Return the left axis for the first unit and the right one for every other."""
    return "y" if (series.unit, series.currency) == _first_unit(shown) else "y4"


def _second_axis(figure: go.Figure, shown: Shown, look: str) -> None:
    if look == "share" or len(shown.units) < 2:
        return
    axis = layout.value_axis(units.of(*shown.units[1]))
    figure.update_layout(yaxis4=axis | {"side": "right", "overlaying": "y2", "showgrid": False})


def _marks(shown: Shown, look: str) -> list[Any]:
    made: list[Any] = []
    if look in STACKED_AREAS and (gaps := sorted(broken(shown))):
        made.append(marks.blank([shown.periods[place] for place in gaps], shown.grain))
    partly = incomplete(shown) if look in STACKED else {}
    quality = dict(shown.quality)
    for period, words in partly.items():
        quality[period] = "; ".join(filter(None, [quality.get(period, ""), words]))
    if quality:
        made.append(marks.quality(quality, shown.grain))
    if shown.allowance is not None and look == "cumulative":
        included, words = shown.allowance
        highest = max((v for s in shown.series for v in plain(s.values) if v is not None), default=0)
        unit = units.of(*_first_unit(shown))
        made.append(marks.limit(shown.periods, included, highest, words, unit, shown.grain))
    return made


def heatmap(shown: Shown, revision: str) -> go.Figure:
    """Return series by period; of a single series by hour, the mean of each hour by weekday."""
    unit = units.of(*_first_unit(shown))
    figure = go.Figure(layout=layout.common(revision, 120 + 30 * max(7, len(shown.series))))
    if len(shown.series) == 1 and shown.grain == "hour":
        x: list[Any] = [f"{hour:02d}:00" for hour in range(24)]
        y = list(shapes.WEEKDAYS)
        z = shapes.by_weekday(shown.periods, plain(shown.series[0].values))
        figure.update_yaxes(autorange="reversed")
    else:
        x = [name_of(period, shown.grain) for period in shown.periods]
        y = [_name(series) for series in shown.series]
        z = [plain(series.values) for series in shown.series]
        figure.update_yaxes(autorange="reversed", type="category")
    figure.update_xaxes(type="category")
    figure.add_trace(
        go.Heatmap(
            x=x,
            y=y,
            z=z,
            colorscale=palette.SCALE,
            hoverongaps=False,
            xgap=1,
            ygap=1,
            colorbar={"tickformat": unit.axis, "ticksuffix": unit.suffix, "thickness": 12},
            hovertemplate=f"%{{y}}, %{{x}}: %{{z:{unit.hover}}}{unit.suffix}<extra></extra>",
        )
    )
    return figure


def distribution(spread: Distribution, unit_name: str, label: str, revision: str) -> go.Figure:
    """Return how many projects have how much, with the median and the 90 % and 99 % quantiles as lines."""
    unit, edges = units.of(unit_name), spread.edges()
    figure = go.Figure(layout=layout.common(revision) | {"bargap": 0.04})
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    words = [f"{low:,.6g} to {high:,.6g}" for low, high in pairwise(edges)]
    figure.add_trace(
        go.Bar(
            x=middles,
            y=list(spread.counts),
            name="Projects",
            showlegend=True,
            customdata=words,
            marker={"color": palette.series(0)},
            hovertemplate="%{y:,} projects with %{customdata}<extra></extra>",
        )
    )
    for quantile, name, dash in zip(
        spread.quantiles, ("Median", "90 %", "99 %"), ("solid", "dash", "dot"), strict=False
    ):
        figure.add_trace(
            go.Scatter(
                x=[quantile, quantile],
                y=[0, max(spread.counts)],
                name=name,
                mode="lines",
                line={"color": palette.MARK, "width": 2, "dash": dash},
                hovertemplate=f"{name}: %{{x:{unit.hover}}}{unit.suffix}<extra></extra>",
            )
        )
    figure.update_xaxes(title=escape.plotly(label), tickformat=unit.axis, ticksuffix=unit.suffix)
    figure.update_yaxes(title="Projects", rangemode="tozero", fixedrange=True)
    return figure
