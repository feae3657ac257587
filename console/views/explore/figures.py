"""The figure of an answer, one builder for each look; colours, axes and marks are those of every chart."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import plotly.graph_objects as go

from console.data.explore import shapes
from console.ui import escape
from console.ui.charts import layout, marks, notes, palette, traces, units
from console.views.explore.series import Answer, Series, name_of

STACKED_AREAS, STACKED = ("area", "share"), ("area", "share", "bar")  # looks
LONG = 60  # periods from which on a slider under the chart helps


def plain(values: Sequence[Any]) -> list[Any]:
    """Return values as Plotly takes them; an amount of money is a float there."""
    return [float(value) if isinstance(value, Decimal) else value for value in values]


def build(answer: Answer, look: str, revision: str) -> go.Figure:
    """Return the figure of `answer` as `look`: line, bar, area, share or cumulative."""
    unit = units.SHARE if look == "share" else units.of(*_first_unit(answer))
    figure = layout.over_time(unit, answer.grain, revision, slider=len(answer.periods) > LONG)
    gaps = unknown_places(answer) if look in STACKED_AREAS else set()
    layers: list[Any] = []
    for number, series in enumerate(answer.series):
        axis = _axis(answer, series) if look != "share" else "y"
        # Bars of two units would stand on one another: those of the second are a line.
        trace = traces.line if look == "bar" and axis != "y" else _TRACES[look]
        own_unit = unit if look == "share" else units.of(series.unit, series.currency)
        values = [None if place in gaps else v for place, v in enumerate(plain(series.values))]
        own = trace(answer.periods, values, _name(series), own_unit, answer.grain, number) | {"yaxis": axis}
        layers.append(traces.recoloured(own, palette.OTHER) if series.is_rest else own)
        if answer.running and look in ("line", "cumulative"):
            layers.append(traces.running(own))
        if series.before is not None and look != "area":
            before = traces.compared(
                answer.periods, plain(series.before), f"{_name(series)}, before", own_unit, answer.grain
            )
            layers.append(before | {"yaxis": axis})
    _second_axis(figure, answer, look)
    figure.add_traces([*layers, *_marks(answer, look)])
    if answer.events is not None:
        events = answer.events
        notes.annotate(figure, events.notes, events.first, events.last, answer.grain)
        notes.deployments(figure, events.deployments, answer.grain)
    return figure


def unknown_places(answer: Answer) -> set[int]:
    """Return the places of periods in which a stack of areas is not drawn: a series in it is unknown.

    Without that the stack would drop as if the unknown were zero. Before its first known value a series
    has not begun: the others are drawn, and the period is hatched.
    """
    return {
        place
        for series in answer.series
        for place, value in enumerate(series.values)
        if value is None and (place >= _start(series) or _is_unknown(answer, place))
    }


def _start(series: Series) -> int:
    places = (place for place, value in enumerate(series.values) if value is not None)
    return next(places, len(series.values))


def _is_unknown(answer: Answer, place: int) -> bool:
    return all(series.values[place] is None for series in answer.series)


def incomplete(answer: Answer) -> dict[Any, str]:
    """Return the periods in which some series are unknown and others are not, with a sentence for each."""
    counts = {
        period: sum(series.values[place] is not None for series in answer.series)
        for place, period in enumerate(answer.periods)
    }
    count = len(answer.series)
    return {
        period: f"{known} of {count} series known" for period, known in counts.items() if 0 < known < count
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


def _first_unit(answer: Answer) -> tuple[str, str]:
    return answer.units[0] if answer.units else ("count", "")


def _axis(answer: Answer, series: Series) -> str:
    """Return the left axis for the first unit and the right one for every other."""
    return "y" if (series.unit, series.currency) == _first_unit(answer) else "y4"


def _second_axis(figure: go.Figure, answer: Answer, look: str) -> None:
    if look == "share" or len(answer.units) < 2:
        return
    axis = layout.value_axis(units.of(*answer.units[1]))
    figure.update_layout(yaxis4=axis | {"side": "right", "overlaying": "y2", "showgrid": False})


def _marks(answer: Answer, look: str) -> list[Any]:
    layers: list[Any] = []
    if look in STACKED_AREAS and (gaps := sorted(unknown_places(answer))):
        layers.append(marks.blank([answer.periods[place] for place in gaps], answer.grain))
    partly = incomplete(answer) if look in STACKED else {}
    quality = dict(answer.quality)
    for period, words in partly.items():
        quality[period] = "; ".join(filter(None, [quality.get(period, ""), words]))
    if quality:
        layers.append(marks.quality(quality, answer.grain))
    if answer.allowance is not None and look == "cumulative":
        included, words = answer.allowance
        highest = max((v for s in answer.series for v in plain(s.values) if v is not None), default=0)
        unit = units.of(*_first_unit(answer))
        layers.append(marks.limit(answer.periods, included, highest, words, unit, answer.grain))
    return layers


def heatmap(answer: Answer, revision: str) -> go.Figure:
    """Return series by period; of a single series by hour, the mean of each hour by weekday."""
    unit = units.of(*_first_unit(answer))
    figure = go.Figure(layout=layout.common(revision, 120 + 30 * max(7, len(answer.series))))
    if len(answer.series) == 1 and answer.grain == "hour":
        x: list[Any] = [f"{hour:02d}:00" for hour in range(24)]
        y = list(shapes.WEEKDAYS)
        z = shapes.by_weekday(answer.periods, plain(answer.series[0].values))
        figure.update_yaxes(autorange="reversed")
    else:
        x = [name_of(period, answer.grain) for period in answer.periods]
        y = [_name(series) for series in answer.series]
        z = [plain(series.values) for series in answer.series]
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
