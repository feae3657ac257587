"""One meter over time, with its limit, its unusual moments and the band in which it was expected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from console.ui.charts import layout, marks, traces, units
from console.ui.charts.layout import Grain
from console.ui.charts.traces import Values

LONG = 60  # periods: longer series have a slider under the chart


@dataclass(frozen=True)
class MeterSeries:
    """A meter's values at instants or days `x`, in UTC; None where a value is unknown."""

    name: str
    unit: str
    grain: Grain
    x: Sequence[Any]
    values: Values
    running: bool = False  # the last period is not over yet
    limit: float | None = None
    limit_name: str = "Included"
    unusual: Mapping[Any, str] = field(default_factory=dict)  # a sentence for each unusual x
    quality: Mapping[Any, str] = field(default_factory=dict)  # why an x is not measured whole
    band: tuple[Values, Values] | None = None  # the lowest and the highest expected values


def figure(series: MeterSeries, revision: str) -> go.Figure:
    """Return a line for days and longer, bars for hours, and the marks (`revision`: layout.over_time)."""
    unit, x, grain = units.of(series.unit), series.x, series.grain
    chart = layout.over_time(unit, grain, revision, slider=len(x) > LONG)
    if grain == "hour":
        chart.add_trace(traces.bars(x, series.values, series.name, unit, grain, running=series.running))
    else:
        line = traces.line(x, series.values, series.name, unit, grain)
        chart.add_traces([line, traces.running(line)] if series.running else [line])
    chart.add_traces(_marks(series, unit))
    return chart


def _marks(series: MeterSeries, unit: units.Unit) -> list[Any]:
    x, grain, beside = series.x, series.grain, []
    if series.band is not None:
        beside += marks.band(x, *series.band, unit, grain)
    if series.quality:
        beside.append(marks.quality(series.quality, grain))
    if series.limit is not None:
        highest = max((value for value in series.values if value is not None), default=0)
        beside.append(marks.limit(x, series.limit, highest, series.limit_name, unit, grain))
    values = {at: value for at, value in zip(x, series.values, strict=True) if value is not None}
    there = [at for at in series.unusual if at in values]
    if there:
        words = [series.unusual[at] for at in there]
        beside.append(marks.unusual(there, [values[at] for at in there], words, grain))
    return beside
