"""The steps of a run: trigger, actions of people, attempts and end."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from console.data.queries.rows import Row
from console.ui import format, listing, progress
from console.ui.table import Column

STEPS = (
    Column("at", "When (UTC)", "instant", narrow="figure"),
    Column("what", "Step", narrow="title"),
    Column("who", "By", "name", narrow="detail"),
)


def render(run: Row, times: Row, actions: Sequence[Row]) -> None:
    """Show the steps of `run`, oldest first."""
    steps: list[Mapping[str, Any]] = [
        {"at": run["created_at"], "what": f"Triggered for {run['period']}", "who": run["requested_by"]},
        *(
            {"at": action["at"], "what": action["action"].capitalize(), "who": action["actor"]}
            for action in actions
            if action["action"] not in ("request", "preview")
        ),
    ]
    if run["started_at"]:
        attempt = f"Taken up, attempt {times['attempt']}"
        steps.append({"at": run["started_at"], "what": attempt, "who": run["worker"]})
    if run["finished_at"]:
        ended = f"{progress.look(run)[2]} after {format.duration(run['seconds'])}"
        steps.append({"at": run["finished_at"], "what": ended, "who": None})
    elif run["state"] == "queued":
        steps.append({"at": times["next_attempt_at"], "what": "Next attempt, not before", "who": None})
    st.subheader("Steps", anchor=False)
    listing.render(sorted(steps, key=lambda step: step["at"]), STEPS, "Steps of this run", "—")
