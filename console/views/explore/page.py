"""Explore: choose, fetch, show. Every part of the question is in the address."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

import streamlit as st

from console.data import limits, own_meters, spending
from console.data.cache import cached
from console.data.explore.measures import MONEY, Measure, catalogue
from console.data.session import current_scope, now
from console.data.transactions import ReadTransaction, read_transaction_as
from console.ui import escape, format, saved_views
from console.ui.charts import drawing
from console.ui.charts.drawing import Selection
from console.ui.page_header import head, loading
from console.ui.table import Column, Kind, table
from console.views.explore import answers, controls, distribution, figures, files, trail
from console.views.explore.reading import RunningMonth
from console.views.explore.series import Answer, Series
from console.views.explore.state import State
from metering.db.scope import Scope
from metering.running import allowances

CHART = "explore-chart"


@cached
def query(scope: Scope, state: State, hour: datetime) -> tuple[datetime, Answer]:
    """Return the answer to `state`, and of when it is. `hour` parts the answers of different hours."""
    late = limits.behind(scope) if state.look == "cumulative" else False
    rating = spending.latest(scope, spending.PATIENCE) if _is_money(state) else None
    with read_transaction_as(scope) as page:
        running_month = RunningMonth(
            rating.each if rating else (),
            rating.at if rating else None,
            _allowance(page, state, late),
        )
        return page.at, answers.read(page.connection, state, page.at, running_month)


def _is_money(state: State) -> bool:
    return any(measure.name in state.meters for measure in MONEY)


def _allowance(page: ReadTransaction, state: State, late: bool) -> tuple[float, str] | None:
    """Return what the only project may use of the only meter in the running month, None for no limit."""
    one_project = len(state.filters.projects) == 1 and len(state.meters) == 1
    if state.look != "cumulative" or state.range != "month" or not one_project:
        return None
    rows = allowances.projects(
        page.connection, limits.versions(page), page.at, 0.0, late, state.filters.projects[0]
    )
    included = next((row["included"] for row in rows if row["meter"] == state.meters[0]), None)
    return None if included is None else (float(included), "Included in the month")


def show() -> None:
    """Show the page."""
    as_of = head("Explore")
    at, all_measures = now(), catalogue(own_meters.by_name())
    state, problems = controls.current_state(at.date(), all_measures)
    for sentence in problems:
        st.warning(escape.markdown(sentence, 300), icon=":material/link_off:")
    trail.show()
    controls.show(state, all_measures, at.date())
    controls.remember(state)
    saved_views.offer("explore")
    if state.look == "distribution":
        as_of(distribution.show(state, all_measures, at, CHART))
        return
    with loading():
        read_at, answer = query(current_scope(), state, at.replace(minute=0, second=0, microsecond=0))
    as_of(read_at)
    _show(state, all_measures, answer, read_at)


def _show(state: State, all_measures: Mapping[str, Measure], answer: Answer, at: datetime) -> None:
    first, last = state.days(at.date())
    title, file_name = files.title(state, all_measures, first, last), files.name(state, first, last)
    if not answer.series or all(value is None for series in answer.series for value in series.values):
        st.info("Nothing is known of this range. A day is sealed after midnight UTC; choose another range.")
    figure = None
    selection = Selection()
    if state.look != "table" and answer.series:
        revision = str(sorted(state.query().items()))
        build = figures.heatmap if state.look == "heatmap" else partial(figures.build, look=state.look)
        figure = build(answer, revision=revision)
        selection = drawing.show(
            figure,
            CHART,
            f"{title}. {_summary(answer)} The table below has every value.",
            ("points", "box"),
            file_name,
            partial(trail.follow, title, state, answer, at.date()),
        )
    for note in [*answer.notes, *_unstacked(answer, state.look)]:
        st.caption(note)
    _links(answer)
    _table(answer, selection, title, file_name, figure, at)


def _unstacked(answer: Answer, look: str) -> list[str]:
    """Say in how many periods a stack is not known whole."""
    partly = len(figures.incomplete(answer)) if look in figures.STACKED else 0
    if not partly:
        return []
    periods = f"{format.many(partly, answer.grain)} of {len(answer.periods):,}"
    if look == "bar":
        return [f"Not every series is known in {periods} (hatched): the bars are of the others."]
    return [
        f"Not every series is known in {periods} (hatched). Nothing is drawn there, but where the series that"
        " is not known has not begun."
    ]


def _summary(answer: Answer) -> str:
    """Return what the chart shows in a sentence, for those who do not see it."""
    parts = []
    for series in answer.series[:5]:
        known = [value for value in series.values if value is not None]
        if known:
            low, high = (_words(value, series) for value in (min(known), max(known)))
            parts.append(f"{escape.short(series.name, 60)}: {low} to {high}")
    unknown = sum(1 for series in answer.series for value in series.values if value is None)
    return "; ".join(parts) + f". {format.many(unknown, 'value')} unknown."


def _words(value: Any, series: Series) -> str:
    if series.unit == "share":
        return f"{value:.1%}"
    return format.money(value, series.currency) if series.currency else format.quantity(value, series.unit)


def _links(answer: Answer) -> None:
    """Show where each series leads, as the legend's own names cannot be links."""
    linked = [series for series in answer.series if series.link is not None]
    if not linked:
        return
    with st.container(horizontal=True):
        for series in linked[:20]:
            page, query = series.link or ("", {})
            _open(series, page, query)


def _open(series: Series, page: str, query: dict[str, str]) -> None:
    from console import pages  # noqa: PLC0415 - which imports this page

    pages.link(page, escape.markdown(series.name, 60), **query)


def _table(
    answer: Answer, selection: Selection, title: str, file_name: str, figure: Any, at: datetime
) -> None:
    rows = files.rows(answer)
    if selection.box is not None:
        low, high = (str(edge)[:16] for edge in selection.box)
        places = [number for number, period in enumerate(answer.periods) if low <= str(period)[:16] <= high]
        rows = [rows[number] for number in places]
        st.caption(f"{format.many(len(rows), answer.grain)} in the box; double click on the chart for all.")
    headings = files.columns(answer)
    table(rows, [_column(key, heading, answer) for key, heading in headings], "explore-table", title)
    files.offer(file_name, lambda: files.as_csv(rows, headings), figure, at)


def _column(key: str, heading: str, answer: Answer) -> Column:
    if key in ("period", "measured"):
        return Column(key, heading)
    series = answer.series[int(key[1:])]
    kinds: dict[str, Kind] = {"bytes": "bytes", "money": "money", "share": "percent"}
    return Column(key, heading, kinds.get(series.unit, "count"))
