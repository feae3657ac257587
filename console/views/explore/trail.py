"""Clicks on a chart lead to its hours, and a trail of the questions that led there back."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import streamlit as st

from console.ui import escape
from console.ui.charts.drawing import Selection
from console.views.explore import controls
from console.views.explore.series import Answer
from console.views.explore.state import State

KEY = "explore-trail"


def follow(title: str, state: State, answer: Answer, today: date, selection: Selection) -> None:
    """Go to what a click on a point asks for: its hours, of its series alone."""
    if selection.box is not None or not selection.points:
        return
    period = next((p for p in answer.periods if str(selection.x)[:10] == str(p)[:10]), None)
    if period is None or answer.grain == "hour":
        return
    first, last = _days_of(period, answer.grain, today)
    finer = replace(state, range="", first=first, last=last, grain="hour" if answer.grain == "day" else "day")
    trail = st.session_state.setdefault(KEY, [])
    trail.append((title, state))
    controls.fill(replace(finer, look="line" if state.look in ("heatmap", "distribution") else state.look))


def show() -> None:
    """Show the way back from a click: the questions that led here, each a button."""
    trail: list[tuple[str, State]] = st.session_state.get(KEY, [])
    if not trail:
        return

    def back(to: int) -> None:
        controls.fill(trail[to][1])
        st.session_state[KEY] = trail[:to]

    with st.container(horizontal=True):
        for number, (words, _) in enumerate(trail[-3:], max(0, len(trail) - 3)):
            st.button(
                escape.markdown(words, 80),
                key=f"explore-back-{number}",
                icon=":material/arrow_back:",
                type="tertiary",
                on_click=back,
                args=(number,),
            )


def _days_of(period: Any, grain: str, today: date) -> tuple[date, date]:
    if grain == "week":
        return period, min(today, period + timedelta(days=6))
    if grain == "month":
        following = (period + timedelta(days=31)).replace(day=1)
        return period, min(today, following - timedelta(days=1))
    return period, period
