"""Bills by month as a chart: a bar for each closed month, the running month so far and as projected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from console.ui.charts import drawing, layout, palette, traces, units
from metering.catalogue.periods import Month

Amounts = Mapping[Month, Decimal]
REST = "Other"
SERIES = 7  # as many as colours; the others are added up


@dataclass(frozen=True)
class Revenue:
    """Amounts in one currency: of each series by month, so far in the running month, and projected in all.

    A month without a bill has no amount, which is a gap and not zero.
    """

    currency: str
    months: Sequence[Month]
    series: Mapping[str, Amounts]
    so_far: Mapping[str, Decimal] = field(default_factory=dict)
    projected: Decimal | None = None


def show(revenue: Revenue, key: str, alt: str) -> None:
    """Show the chart: each series is one trace; its last bar, of the running month, is hatched."""
    unit, running = units.of("count", revenue.currency), revenue.months[-1]
    figure = layout.over_time(unit, "month", f"{key}-{revenue.currency}")
    x = [month.first.date for month in revenue.months]
    for number, (name, amounts) in enumerate(_top(revenue).items()):
        y = [None if month not in amounts else float(amounts[month]) for month in revenue.months]
        trace = traces.bars(x, y, name, unit, "month", number, running=bool(revenue.so_far))
        figure.add_trace(traces.recoloured(trace, palette.OTHER) if name == REST else trace)
    so_far = sum(revenue.so_far.values(), Decimal(0))
    if revenue.projected is not None and revenue.projected > so_far:
        rest = [None] * (len(x) - 1) + [float(revenue.projected - so_far)]
        bar = traces.bars(x, rest, f"Projected rest of {running}", unit, "month")
        hollow = {"color": "rgba(0,0,0,0)", "line": {"color": palette.OTHER, "width": 1.5}}
        figure.add_trace(bar | {"marker": hollow})
    drawing.show(figure, key, alt, file_name=key)


def _top(revenue: Revenue) -> dict[str, dict[Month, Decimal]]:
    """Return the greatest series with the running month in them, and the others added up."""
    running = revenue.months[-1]
    series = {name: dict(amounts) for name, amounts in revenue.series.items()}
    for name, amount in revenue.so_far.items():
        own = series.setdefault(name, {})
        own[running] = own.get(running, Decimal(0)) + amount
    ranked = sorted(series, key=lambda name: (-sum(series[name].values(), Decimal(0)), name))
    top_names = ranked if len(ranked) <= SERIES else ranked[: SERIES - 1]
    top = {name: series[name] for name in top_names}
    rest: dict[Month, Decimal] = {}
    for name in ranked[len(top_names) :]:
        for month, amount in series[name].items():
            rest[month] = rest.get(month, Decimal(0)) + amount
    return top | ({REST: rest} if rest else {})
