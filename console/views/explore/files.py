"""What is shown, as files: CSV of the very rows of the table, and one HTML file with the chart in it."""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from console.data.explore.measures import Measure
from console.ui import escape, format
from console.ui.charts import drawing
from console.views.explore.series import Answer, Series, name_of
from console.views.explore.state import State, labels
from metering.exports.csv_guard import guard


def title(state: State, all_measures: Mapping[str, Measure], first: Any, last: Any) -> str:
    """Return what the question asks, as a title: measures, groups, range."""
    by = "" if state.by == "none" else f" by {state.by}"
    return f"{labels(state.meters, all_measures)}{by}, {first} to {last}"


def name(state: State, first: Any, last: Any) -> str:
    """Return a file's name without its ending, which says what the file holds."""
    by = "" if state.by == "none" else f"-by-{state.by}"
    where = "-filtered" if state.filters else ""
    look = "" if state.look in ("line", "bar", "area", "table") else f"-{state.look}"
    versus = "" if state.vs == "none" else f"-vs-{state.vs}"
    plain = f"fleetmeter-{'-'.join(state.meters)}{by}{where}{look}{versus}-{first}-to-{last}"
    return re.sub(r"[^a-z0-9-]+", "-", plain.lower())[:150]


def rows(answer: Answer) -> list[dict[str, Any]]:
    """Return a row for each period, oldest first: `period`, `measured`, `s<n>` of series n, `b<n>` before."""
    records = []
    for number, period in enumerate(answer.periods):
        row: dict[str, Any] = {
            "period": name_of(period, answer.grain),
            "measured": answer.quality.get(period, "whole"),
        }
        for place, series in enumerate(answer.series):
            row[f"s{place}"] = series.values[number]
            if series.before is not None:
                row[f"b{place}"] = series.before[number]
        records.append(row)
    return records


def columns(answer: Answer) -> list[tuple[str, str]]:
    """Return the table's columns as (key, heading), in order; a heading names the unit."""
    headings = [("period", f"{answer.grain.capitalize()} (UTC)")]
    for place, series in enumerate(answer.series):
        headings.append((f"s{place}", _heading(series, "")))
        if series.before is not None:
            headings.append((f"b{place}", _heading(series, ", before")))
    return [*headings, ("measured", "Measured")]


def _heading(series: Series, suffix: str) -> str:
    unit = series.currency or ("share" if series.unit == "share" else format.unit_label(series.unit))
    return f"{escape.short(series.name, 60)}{suffix}" + (f" ({unit})" if unit else "")


def as_csv(rows: Sequence[Mapping[str, Any]], headings: Sequence[tuple[str, str]]) -> str:
    """Return the rows as CSV: numbers as they are, an empty cell for what is unknown."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow([guard(heading) for _, heading in headings])
    writer.writerows([[_cell(row[key]) for key, _ in headings] for row in rows])
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return guard(value) if isinstance(value, str) else value


def offer(file_name: str, make_csv: Callable[[], str], figure: go.Figure | None, at: datetime) -> None:
    """Offer the files; each is made when it is clicked."""
    with st.container(horizontal=True):
        st.download_button(
            "CSV",
            make_csv,
            f"{file_name}.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="explore-csv",
        )
        if figure is not None:
            theme = st.context.theme.type or "light"
            st.download_button(
                "Chart as HTML",
                lambda: drawing.html_file(figure, theme),
                f"{file_name}.html",
                "text/html",
                icon=":material/download:",
                on_click="ignore",
                key="explore-html",
            )
        st.caption(f"As of {format.stamp(at)}. The chart's own bar saves it as PNG.")
