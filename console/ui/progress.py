"""The progress of runs: request, progress and result."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from console.data.queries import runs
from console.data.transactions import read_transaction
from console.ui import error_boundary, escape, format, links, run_preview
from console.ui.run_words import LOOKS, detail, look, outcome, title

__all__ = ["LOOKS", "OVER", "badge", "bar", "detail", "follow", "line", "look", "outcome", "started", "title"]

OVER = ("succeeded", "failed", "cancelled", "dead")


def badge(run: Mapping[str, Any]) -> None:
    """Render a run's state: icon, colour and word."""
    icon, colour, label = look(run)
    st.badge(label, icon=icon, color=colour)  # type: ignore[arg-type]


def follow(key: str) -> None:
    """Show the runs that this page requested under `key`, until and after they end."""
    run_ids = st.session_state.get(f"followed-{key}", [])
    if not run_ids:
        return
    with st.container(border=True):
        if st.session_state.get(f"over-{key}") == run_ids:
            _render(_find(run_ids))
        else:
            _watch(key, run_ids)


def started(key: str, run_ids: Sequence[int]) -> None:
    """Make `follow(key)` show these runs."""
    st.session_state[f"followed-{key}"] = list(run_ids)
    st.session_state.pop(f"over-{key}", None)


@st.fragment(run_every=1)
@error_boundary.optional
def _watch(key: str, run_ids: list[int]) -> None:
    followed = _find(run_ids)
    _render(followed)
    if all(run["state"] in OVER for run in followed):
        st.session_state[f"over-{key}"] = run_ids
        st.cache_data.clear()
        st.rerun()  # the figures around it have changed


def _find(run_ids: Sequence[int]) -> list[Mapping[str, Any]]:
    with read_transaction() as page:
        return [run for run in (runs.find(page.connection, number) for number in run_ids) if run]


def _render(rows: Sequence[Mapping[str, Any]]) -> None:
    for run in rows:
        line(run)


def line(run: Mapping[str, Any]) -> None:
    """Render one run with a link to its page: job, state, progress or result."""
    with st.container(horizontal=True, vertical_alignment="center"):
        badge(run)
        st.markdown(f"**[{title(run)}]({links.run(run['id'])})**", width="content")
        st.caption(detail(run), width="stretch")
    if run["dry_run"] and "preview" in (run["result"] or {}):
        run_preview.render(run["result"]["preview"], str(run["id"]))
    if run["state"] == "running":
        bar(run)


def bar(run: Mapping[str, Any]) -> None:
    """Render the progress of a running run, and the time left at its pace so far."""
    completed, total = run["progress"].get("done", 0), run["progress"].get("total", 0)
    what = escape.markdown(str(run["progress"].get("what", "working")))
    text = (
        f"{what} · {completed:,} of {total:,}{remaining_time(completed, total, run['seconds'])}"
        if total
        else "starting"
    )
    st.progress(min(1.0, completed / total) if total else 0.0, text=text)


def remaining_time(completed: int, total: int, seconds: float | None) -> str:
    """Return the time left at the pace so far, in words; empty while that is unknown."""
    if not completed or not seconds or completed >= total:
        return ""
    return f" · about {format.duration(seconds * (total - completed) / completed)} left"
