"""Is it all right: one line, green or what is not, each with the way to its repair."""

from collections.abc import Sequence

import streamlit as st

from console.data.queries.problems import Problem
from console.pages import TITLES, link
from console.ui import format

WELL = "All is well: every source is fresh, no day is missing, no job failed."
WELL_INSIDE = "All is well: a runner and a counter are alive, and every source is read."
WELL_OF_ORGANIZATION = "All is well: no day of yours is missing, and no alert is open."


def verdict(problems: Sequence[Problem], here: str = "", well: str = WELL) -> None:
    """Show `problems`, the worst first; no link to the page one is on, which is `here`."""
    if not problems:
        st.success(well, icon=":material/check_circle:")
        return
    bad = any(problem.severity == "bad" for problem in problems)
    label = format.many(len(problems), "thing") + (" needs" if len(problems) == 1 else " need") + " attention"
    with st.container(border=True):
        (st.error if bad else st.warning)(label, icon=":material/error:" if bad else ":material/warning:")
        for number, problem in enumerate(problems):
            _problem(problem, number, here)


def _problem(problem: Problem, number: int, here: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key=f"problem-{number}"):
        icon = ":red[:material/error:]" if problem.severity == "bad" else ":orange[:material/warning:]"
        st.markdown(f"{icon} {problem.sentence}", width="stretch")
        if problem.page != here and problem.page in TITLES:
            link(problem.page, TITLES[problem.page][0])
