"""The chart of a change: a bar for each contribution, largest first."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from console.data.changes.contributions import Contribution
from console.ui import escape
from console.ui.charts import layout, palette, units

MOST = 12  # bars; the rest is one more
NAME = 22  # characters under a bar


def build(parts: Sequence[Contribution], labels: Sequence[str], unit: units.Unit, revision: str) -> go.Figure:
    """Return a bar for each of the largest contributions and one for the rest; `labels` are of `parts`."""
    largest, rest = parts[:MOST], parts[MOST:]
    changes = [float(part.change) for part in largest]
    names = [_name(label, number) for number, label in enumerate(labels[:MOST])]
    words = [_words(label, part) for label, part in zip(labels, largest, strict=False)]
    colours = [palette.SERIES[0] if change >= 0 else palette.SERIES[5] for change in changes]
    if rest:
        changes.append(float(sum(part.change for part in rest)))
        names.append(f"Other ({len(rest):,})")
        words.append(f"{len(rest):,} others")
        colours.append(palette.OTHER)
    figure = go.Figure(layout=layout.common(revision))
    figure.update_layout(yaxis=layout.value_axis(unit) | {"overlaying": None, "zeroline": True})
    figure.update_xaxes(type="category", fixedrange=True)
    figure.add_trace(_bars(names, changes, words, colours, unit))
    return figure


def _bars(names: Any, changes: Any, words: Any, colours: Any, unit: units.Unit) -> go.Bar:
    return go.Bar(
        x=names,
        y=changes,
        customdata=words,
        name="Change",
        texttemplate=f"%{{y:+.3~s}}{unit.suffix}",
        textposition="outside",
        cliponaxis=False,
        marker={"color": colours, "line": {"width": 0}},
        hovertemplate=f"%{{customdata}}<br>%{{y:+{unit.hover}}}{unit.suffix}<extra></extra>",
    )


def _name(label: str, number: int) -> str:
    """Return a name for the axis that stays unique when it is cut short."""
    tail = label.rpartition(" · ")[2] if " · " in label else ""
    short = label if len(label) <= NAME else f"{label[: NAME - len(tail) - 2]}… {tail}"
    return escape.plotly(short or str(number + 1))


def _words(label: str, part: Contribution) -> str:
    state = " (new)" if part.is_new else " (gone)" if part.is_gone else ""
    return escape.plotly(label, 80) + state
