"""Pinned views: each with its figure, its change, and a link to its page."""

from datetime import date, datetime
from urllib.parse import parse_qsl

import streamlit as st

from console.data.cache import cached
from console.data.explore.measures import catalogue
from console.data.queries.rows import Row
from console.data.session import current_person, current_scope, now
from console.data.transactions import read_transaction, read_transaction_as
from console.data.views import saved_views as view_queries
from console.ui import error_boundary, escape, format, links, saved_views
from console.views.changes import question, reading
from metering.catalogue import own_meters
from metering.db.scope import Scope

MOST = 6


@cached
def _figure(scope: Scope, address: str, hour: datetime) -> tuple[str, float | None, str]:
    """Return a view's total in words, its change as a fraction, and the compared period."""
    with read_transaction_as(scope) as page:
        measures = catalogue(own_meters.by_name(page.connection))
        change_question, _ = question.read(dict(parse_qsl(address)), hour.date(), measures)
        change = reading.read(page.connection, change_question, page.at)
    total = change.comparison.after
    words = (
        format.money(total, change.currency)
        if change_question.is_money
        else format.size(total)
        if change_question.measures[0].unit == "bytes"
        else format.compact(total)
    )
    return words, change.comparison.ratio, f"vs {_span(*change_question.before)}"


def _span(first: date, last: date) -> str:
    return f"{first:%a %d %b}" if first == last else f"{first:%d %b} to {last:%d %b}"


@error_boundary.optional
def render() -> None:
    """Show the views that this person, or an operator for everybody, has pinned."""
    with read_transaction() as page:
        pinned = [
            view for view in view_queries.read(page.connection, current_person().actor) if view["is_pinned"]
        ]
    if not pinned:
        return
    st.subheader("Pinned", anchor=False)
    grid = st.grid("auto", min_column_width=200, key="pins")
    for view in pinned[:MOST]:
        with grid.cell():
            _pin(view)


def _pin(view: Row) -> None:
    hour = now().replace(minute=0, second=0, microsecond=0)
    words, ratio, against = _figure(current_scope(), view["address"], hour)
    with st.container(border=True, height="stretch"):
        st.html(links.anchor(saved_views.address(view), escape.html(view["name"], view_queries.NAME)))
        st.metric(
            "Total",
            words,
            None if ratio is None else f"{ratio:+.1%}",
            delta_color="off",
            delta_description=against,
            label_visibility="collapsed",
        )
