"""One project's use of every allowance, for its page: each meter leads to its burn-down."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from console.data.queries.rows import Row
from console.ui import limit_states, links
from console.ui.table import Column, table


def burn_down(row: Mapping[str, Any]) -> str:
    """Return the address of a limit's burn-down."""
    return links.address("limits", {"project": row["project_id"], "meter": row["meter"]})


COLUMNS = (
    Column("shown", "State", "state"),
    Column("label", "Meter", link=burn_down, narrow="title"),
    Column("share", "Used of included", "percent", narrow="figure"),
    Column("used", "Used", "count"),
    Column("included", "Included", "count"),
    Column("unit", "Unit"),
    Column("end", "100 %"),
    Column("kind", "Beyond it"),
)


def render(limits: Sequence[Row]) -> None:
    """Show the limits of one project (rows of `burn_down.limits`), the most used first."""
    if not limits:
        return
    st.subheader("Against the plan", anchor=False)
    rows = [{**row, **limit_states.words(row)} for row in limits]
    table(rows, COLUMNS, "project-limits", "What this project used of what its tier includes")
