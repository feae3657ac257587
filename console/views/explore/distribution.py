"""How the values of a measure are distributed over projects: how many have how much."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import streamlit as st

from console.data.cache import cached
from console.data.explore import distribution
from console.data.explore.distribution import Distribution
from console.data.explore.measures import Measure
from console.data.explore.question import Question
from console.data.session import current_scope
from console.data.transactions import read_transaction_as
from console.ui import format
from console.ui.charts import drawing
from console.ui.page_header import loading
from console.ui.table import Column, Kind, table
from console.views.explore import files, histogram
from console.views.explore.state import State
from metering.db.scope import Scope


@cached
def query(scope: Scope, question: Question, today: date) -> tuple[datetime, Distribution]:
    """Return how the first measure is distributed over projects, and of when that is."""
    with read_transaction_as(scope) as page:
        return page.at, distribution.read(page.connection, question, today)


def show(state: State, all_measures: Mapping[str, Measure], at: datetime, chart: str) -> datetime:
    """Show the distribution as the chart of that key, and return of when it is, in UTC."""
    question = state.question(at.date(), all_measures)
    measure = question.measures[0]
    if measure.kind == "money":
        st.info("Money is not drawn as a distribution; choose a meter, or Bars by project.")
        return at
    with loading():
        read_at, spread = query(current_scope(), question, at.date())
    label = f"{measure.label} of a project, {question.first} to {question.last}"
    if not spread.projects:
        st.info(f"No project has a known value of {measure.label} in this range.")
        return read_at
    figure = histogram.build(spread, measure.unit, label, str(sorted(state.query().items())))
    file_name = files.name(state, question.first, question.last)
    median = format.quantity(int(spread.quantiles[0]), measure.unit)
    alt = f"{label}: {format.many(spread.projects, 'project')}, median {median}"
    drawing.show(figure, chart, alt, file_name=file_name)
    if spread.unknown:
        st.caption(f"{format.many(spread.unknown, 'project')} without a known value are not in it.")
    rows = _bins(spread)
    headings = [("low", f"{measure.label} from"), ("high", "to"), ("projects", "Projects")]
    kind: Kind = "bytes" if measure.unit == "bytes" else "count"
    table(
        rows,
        [
            Column("low", headings[0][1], kind),
            Column("high", "to", kind),
            Column("projects", "Projects", "count"),
        ],
        "explore-bins",
        label,
    )
    files.offer(file_name, lambda: files.as_csv(rows, headings), figure, read_at)
    return read_at


def _bins(spread: Distribution) -> list[dict[str, Any]]:
    edges = spread.edges()
    return [
        {"low": round(edges[number]), "high": round(edges[number + 1]), "projects": projects}
        for number, projects in enumerate(spread.counts)
    ]
