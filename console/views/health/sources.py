"""The sources: how many projects each measured, and how old its measurements are."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import streamlit as st

from console.data.queries.process_problems import STALE
from console.data.queries.rows import Row
from console.ui import escape, format, states
from console.ui.states import StatusLabel
from console.ui.table import Column, table
from metering.catalogue.sources import SOURCE_LABELS, source_info

FRESHNESS = (
    Column("state", "State", "state"),
    Column("label", "Source"),
    Column("measured", "Measured in 2 h", "count"),
    Column("projects", "Projects", "count"),
    Column("newest", "Newest (UTC)", "instant"),
    Column("oldest", "Oldest (UTC)", "instant"),
)


def render(freshness: Sequence[Row], at: datetime) -> None:
    """Show each source with its state, and why projects could not be read."""
    st.subheader("Sources", anchor=False)
    rows = [
        {
            **row,
            "label": SOURCE_LABELS[row["source"]],
            "state": _state(row, at),
        }
        for row in freshness
    ]
    alt = "Each source with how many projects it measured and when"
    table(rows, FRESHNESS, "freshness", alt, placeholder="—")
    for row in freshness:  # whole, where a cell would cut it
        if row["why"]:
            source, why = SOURCE_LABELS[row["source"]], escape.markdown(row["why"])
            st.caption(f"{source}: the last refresh said: {why}")


def _state(row: Row, at: datetime) -> StatusLabel:
    if row["newest"] is None:
        return states.NEVER_MEASURED
    if not source_info(row["source"]).is_polled:  # it reports itself: a quiet project is not behind
        return states.FRESH
    if at - row["newest"] > STALE:
        return states.STALE
    if row["behind"]:
        return replace(states.STALE, word=f"{format.many(row['behind'], 'project')} behind")
    return states.FRESH
