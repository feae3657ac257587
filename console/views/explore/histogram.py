"""The histogram of a distribution: how many projects have how much, and the quantiles as lines."""

from itertools import pairwise

import plotly.graph_objects as go

from console.data.explore.distribution import Distribution
from console.ui import escape
from console.ui.charts import layout, palette, units


def build(spread: Distribution, unit_name: str, label: str, revision: str) -> go.Figure:
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
