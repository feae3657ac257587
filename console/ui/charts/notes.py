"""Marks of events: notes on days, written by hand, and deployments."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import plotly.graph_objects as go

from console.data.queries.rows import Row
from console.data.views.annotations import KINDS
from console.ui import escape, format
from console.ui.charts import marks, palette
from console.ui.charts.layout import Grain

SYMBOLS = {"incident": "triangle-down", "price": "star", "other": "circle"}
TOP, BOTTOM = 0.97, 0.03  # of the chart's height
LONGEST = 90  # characters of a note in the hover


def annotate(figure: go.Figure, notes: Sequence[Row], first: date, last: date, grain: Grain) -> None:
    """Mark each note of the chart's range at the top; one of several days is shaded as well.

    A note that began earlier is marked on the first day of the chart.
    """
    for kind, label in KINDS.items():
        own = [note for note in notes if note["kind"] == kind]
        if own:
            x = [str(max(note["first"], first)) for note in own]
            words = [_words(note) for note in own]
            figure.add_trace(marks.events(x, words, label, grain, SYMBOLS[kind], TOP))
    for note in notes:
        if note["first"] < note["last"]:
            figure.add_vrect(
                x0=str(max(note["first"], first)),
                x1=str(min(note["last"], last) + timedelta(days=1)),
                fillcolor=palette.OTHER,
                opacity=0.12,
                line_width=0,
                layer="below",
            )


def deployments(figure: go.Figure, counts: Mapping[Any, int | None], grain: Grain) -> None:
    """Mark the periods with deployments at the bottom, each with their number."""
    marked = {at: count for at, count in counts.items() if count}
    if marked:
        words = [format.many(count, "deployment") for count in marked.values()]
        figure.add_trace(marks.events(list(marked), words, "Deployments", grain, "triangle-up", BOTTOM))


def _words(note: Row) -> str:
    days = f"{note['first']}" if note["first"] == note["last"] else f"{note['first']} to {note['last']}"
    about = _about(note)
    return f"{escape.plotly(note['text'], LONGEST)} ({days}{about})"


def _about(note: Row) -> str:
    if note["project_id"] is not None:
        return f", project {note['project_id']}"
    return "" if note["organization_id"] is None else f", organization {note['organization_id']}"
