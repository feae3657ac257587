"""The state of the platform: one green line, or the problems, each with a link to its repair."""

from collections.abc import Sequence
from datetime import datetime
from math import ceil

import streamlit as st

from console.data.queries.problem import Problem
from console.pages import TITLES, link
from console.ui import escape, format, links, progress, remedies, room, states

WELL = "All is well: every source is fresh, no day is missing, no job failed."
WELL_INSIDE = "All is well: a runner and a counter are alive, and every source is read."
WELL_OF_ORGANIZATION = "All is well: no day of yours is missing, and no incident is open."
LONGEST = 400  # characters of a sentence
LINE = 52  # characters of a line on a phone
BUTTON, LINK = 53, 34  # pixels that stand below the sentence there
LOOKS = {"bad": states.CRITICAL, "warning": states.WARNING}


def show_problems(problems: Sequence[Problem], at: datetime, here: str = "", well: str = WELL) -> None:
    """Show `problems`, the worst first, as of `at`, without links to the current page `here`."""
    if not problems:
        st.success(well, icon=":material/check_circle:")
    else:
        _problems(problems, at, here)
    progress.follow("problems")


def _problems(problems: Sequence[Problem], at: datetime, here: str) -> None:
    bad = any(problem.severity == "bad" for problem in problems)
    number = sum(problem.number for problem in problems)
    label = format.many(number, "thing") + (" needs" if number == 1 else " need") + " attention"
    with st.container(border=True):
        (st.error if bad else st.warning)(label, icon=":material/error:" if bad else ":material/warning:")
        for place, problem in enumerate(problems):
            _problem(problem, place, at, here)


def _problem(problem: Problem, place: int, at: datetime, here: str) -> None:
    """Show one line: severity, a linked sentence, age, and a button or link to the repair."""
    incident = problem.incident
    words = escape.html(problem.sentence, LONGEST)
    target = links.address(problem.page, problem.query)
    sentence = words if problem.page == here and not incident else links.anchor(target, words)
    lasting = f"· {format.lasting(incident.opened_at, at)}" if incident else ""
    words_long = f"{LOOKS[problem.severity].word}  {problem.sentence} {lasting}"
    below = BUTTON if incident is not None and remedies.find(incident, at) else LINK
    height = 24 * ceil(len(words_long) / LINE) + below
    with room.room(f"problem-{place}", 40, height, horizontal=True, vertical_alignment="center"):
        st.html(
            f"{states.html(LOOKS[problem.severity])} {sentence} <small>{lasting}</small>", width="stretch"
        )
        if incident is not None:
            remedies.offer(incident, "problems", here)
        elif problem.page != here and problem.page in TITLES:
            link(problem.page, TITLES[problem.page][0], **problem.query)
