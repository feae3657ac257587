"""Changes: two periods, one measure, and the contributions to their difference."""

from datetime import date, datetime
from typing import Any

import streamlit as st

from console import address
from console.data import own_meters
from console.data.cache import cached
from console.data.changes.contributions import Range
from console.data.explore.measures import catalogue
from console.data.session import current_scope, now
from console.data.transactions import read_transaction_as
from console.ui import escape, format, links, saved_views
from console.ui.charts import drawing, units
from console.ui.charts.drawing import Selection
from console.ui.page_header import head, loading
from console.ui.table import Column, Kind, table
from console.views.changes import contributions_table, controls, figure, reading
from console.views.changes.question import NAMES, ChangeQuestion, read
from console.views.changes.reading import ChangeData
from metering.db.scope import Scope

CHART = "changes-chart"


@cached
def query(scope: Scope, question: ChangeQuestion, hour: datetime) -> ChangeData:
    """Return the change that answers `question`; `hour` is part of the cache's key."""
    with read_transaction_as(scope) as page:
        return reading.read(page.connection, question, page.at)


def show() -> None:
    """Show the page."""
    as_of = head("Changes")
    at, all_measures = now(), catalogue(own_meters.by_name())
    question, wrong = read(address.part(NAMES), at.date(), all_measures)
    for sentence in wrong:
        st.warning(escape.markdown(sentence, 300), icon=":material/link_off:")
    controls.show(question, all_measures, at.date())
    saved_views.offer("changes")
    with loading():
        change = query(current_scope(), question, at.replace(minute=0, second=0, microsecond=0))
    as_of(change.at)
    _totals(question, change)
    _notes(question, change, at.date())
    _parts(question, change)
    _incomparable(question, change)


def _totals(question: ChangeQuestion, change: ChangeData) -> None:
    comparison, say = change.comparison, _say(question, change)
    grid = st.grid("auto", min_column_width=220, key="changes-totals")
    grid.metric(_span(question.before), say(comparison.before), border=True)
    ratio = comparison.ratio
    grid.metric(
        _span(question.after),
        say(comparison.after),
        None if ratio is None else f"{ratio:+.1%}",
        delta_color="off",
        border=True,
    )
    sign = "+" if comparison.change > 0 else "−" if comparison.change < 0 else ""
    grid.metric("Change", sign + say(abs(comparison.change)), border=True)


def _say(question: ChangeQuestion, change: ChangeData) -> Any:
    if question.is_money:
        return lambda value: format.money(value, change.currency)
    return lambda value: format.quantity(value, question.measures[0].unit)


def _span(days: Range) -> str:
    first, last = days
    return f"{first:%a %-d %b %Y}" if first == last else f"{first} to {last}"


def _notes(question: ChangeQuestion, change: ChangeData, today: date) -> None:
    projects = format.many(change.comparison.compared, "project")
    notes = [f"Compared: {projects}. A project that was not there yet, or not any more, used nothing."]
    if question.after[1] >= today and not question.is_money:
        notes.append("The running day is in the later period as far as it has come.")
    partial = sum(
        part.known_days[side] < part.expected[side]
        for part in change.comparison.by["project"]
        for side in (0, 1)
        if not question.is_money and question.measures[0].kind == "counter"
    )
    if partial:
        notes.append(f"{partial:,} times a project's period was not measured on each of its days.")
    if question.by == "device":
        notes.append("Each device's figure is a lower bound; what is not known of any is of other devices.")
    if change.left_out:
        notes.append(f"Bills in {', '.join(change.left_out)} are left out: amounts of currencies do not add.")
    st.caption(" ".join(notes))


def _parts(question: ChangeQuestion, change: ChangeData) -> None:
    parts = change.comparison.by[question.by]
    if not parts:
        st.info("Nothing is known of both periods. Choose another range, or look at Snapshots.")
        return
    labels = [change.label(question.by, part) for part in parts]
    unit = units.of(question.measures[0].unit, change.currency)
    title = f"{question.measures[0].label}: contributions to the change by {question.by}"
    chart = figure.build(parts, labels, unit, str(sorted(question.query().items())))
    drawing.show(
        chart,
        CHART,
        f"{title}, largest first. The table below has every value.",
        ("points",),
        "fleetmeter-changes",
        lambda selection: _clicked(question, parts, selection),
    )
    if question.by != "device":
        st.caption("A click on a bar, or on a name below, goes one step further into what caused it.")
    contributions_table.render(question, change, labels, title)


def _clicked(question: ChangeQuestion, parts: Any, selection: Selection) -> None:
    place = selection.places[0] if selection.places else len(parts)
    if place < min(len(parts), figure.MOST):
        controls.go(contributions_table.step(question, parts[place]))


def _incomparable(question: ChangeQuestion, change: ChangeData) -> None:
    incomparable = change.comparison.incomparable
    if not incomparable:
        return
    projects = len({one.project for one in incomparable})
    st.subheader(f"Not compared: {format.many(projects, 'project')} unknown in one period", anchor=False)
    kind: Kind = (
        "money" if question.is_money else "bytes" if question.measures[0].unit == "bytes" else "count"
    )
    rows = [
        {
            "id": one.project,
            "label": change.project(one.project),
            "meter": next(m.label for m in question.measures if m.name == one.meter),
            "before": one.before,
            "after": one.after,
        }
        for one in incomparable[: contributions_table.MOST]
    ]
    columns = (
        Column("label", "Project", "name", link=lambda row: links.project(row["id"])),
        Column("meter", "Measure"),
        Column("before", "Before", kind),
        Column("after", "After", kind),
    )
    table(rows, columns, "changes-apart", "Projects that are unknown in one of the periods")
