"""Show a figure and return the selection in it, or write it as a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go
import streamlit as st

from console.ui.charts import layout, palette


@dataclass(frozen=True)
class Selection:
    """The selection in a chart: points as (trace number, x), and the range of x of a box, if any.

    x is the value of the trace, as text: `2026-11-20` or `2026-11-20 13:00`.
    """

    points: tuple[tuple[int, str], ...] = ()
    box: tuple[str, str] | None = None
    places: tuple[int, ...] = ()  # of the points within their traces
    name: str | None = None  # of the first point, where its trace names its points

    @property
    def x(self) -> str | None:
        """Return the x of the first point."""
        return self.points[0][1] if self.points else None


def show(
    figure: go.Figure,
    key: str,
    alt: str,
    select: Sequence[Literal["points", "box"]] = (),
    file_name: str = "fleetmeter",
    on_select: Callable[[Selection], None] | None = None,
) -> Selection:
    """Show `figure`; with `select` a click or a box runs the page again and is returned.

    `on_select` is called with it before the page runs. `alt` is the text for screen readers.
    The PNG of the mode bar is called `file_name`.
    """

    def call_on_select() -> None:
        if on_select is not None:
            on_select(_selection(st.session_state[key]["selection"], figure))

    # With the theme in it, the figure is another one in the other theme, and is drawn anew there.
    figure.update_layout(meta={"theme": st.context.theme.type})
    event: Any = st.plotly_chart(
        figure,
        key=key,
        theme="streamlit",
        on_select=call_on_select if on_select else "rerun" if select else "ignore",
        selection_mode=tuple(select) or ("points",),
        config=layout.CONFIG | {"toImageButtonOptions": {"format": "png", "filename": file_name, "scale": 2}},
        alt=alt,
    )
    return _selection(event["selection"], figure) if select else Selection()


def _selection(selection: Any, figure: go.Figure) -> Selection:
    at = [point for point in selection["points"] if "point_index" in point]
    points = tuple((int(point["curve_number"]), _x(point, figure)) for point in at)
    places = tuple(int(point["point_index"]) for point in at)
    boxes = [sorted(map(str, box["x"])) for box in selection["box"] if len(box["x"]) == 2]
    return Selection(points, (boxes[0][0], boxes[0][1]) if boxes else None, places, _name(at, figure))


def _name(points: Sequence[Any], figure: go.Figure) -> str | None:
    names = figure.data[points[0]["curve_number"]].ids if points else None
    return None if names is None else str(names[points[0]["point_index"]])


def _x(point: Any, figure: go.Figure) -> str:
    """Return x of the trace: the browser sends the middle of the period instead."""
    trace = figure.data[point["curve_number"]]
    return str(trace.x[point["point_index"]])


def html_file(figure: go.Figure, theme: str = "light") -> str:
    """Return one HTML file with the chart and the library in it: it opens without a network."""
    page = figure.to_html(config=layout.CONFIG, include_plotlyjs=False, full_html=False)
    chart = palette.resolve(str(page), theme)
    background = palette.theme(theme)["backgroundColor"]
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        f"<body style='background:{background};font-family:sans-serif'>"
        f"<script>{_library()}</script>{chart}</body></html>"
    )


def _library() -> str:
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - four megabytes, for those who download

    return str(get_plotlyjs())
