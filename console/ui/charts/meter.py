"""One meter over time, with its limit, its unusual moments and the band in which it was expected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from console.ui.charts import layout, marks, traces, units
from console.ui.charts.layout import Grain
from console.ui.charts.traces import Values

LONG = 60  # periods from which on a slider under the chart helps


@dataclass(frozen=True)
class Measured:
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
    band: tuple[Values, Values] | None = None  # the least and the most expected


def figure(measured: Measured, revision: str) -> go.Figure:
    """Return a line for days and longer, bars for hours, and the marks (`revision`: layout.over_time)."""
    unit, x, grain = units.of(measured.unit), measured.x, measured.grain
    drawn = layout.over_time(unit, grain, revision, slider=len(x) > LONG)
    if grain == "hour":
        drawn.add_trace(traces.bars(x, measured.values, measured.name, unit, grain, running=measured.running))
    else:
        series = traces.line(x, measured.values, measured.name, unit, grain)
        drawn.add_traces([series, traces.running(series)] if measured.running else [series])
    drawn.add_traces(_marks(measured, unit))
    return drawn


def _marks(measured: Measured, unit: units.Unit) -> list[Any]:
    x, grain, beside = measured.x, measured.grain, []
    if measured.band is not None:
        beside += marks.band(x, *measured.band, unit, grain)
    if measured.quality:
        beside.append(marks.quality(measured.quality, grain))
    if measured.limit is not None:
        highest = max((value for value in measured.values if value is not None), default=0)
        beside.append(marks.limit(x, measured.limit, highest, measured.limit_name, unit, grain))
    known = {at: value for at, value in zip(x, measured.values, strict=True) if value is not None}
    there = [at for at in measured.unusual if at in known]
    if there:
        words = [measured.unusual[at] for at in there]
        beside.append(marks.unusual(there, [known[at] for at in there], words, grain))
    return beside
