"""Failed runs that need attention: filtered, and tried again or dismissed, all or one by one."""

from collections.abc import Sequence

import streamlit as st

from console.actions import discard, retry
from console.data.queries.rows import Row
from console.data.session import has_role
from console.ui import confirm_dialog, format, progress, room
from jobs import queue

STATES = {"failed": "Failed", "dead": "Dead letters"}
MOST_LISTED = 10
MOST = 100  # rows that the query returns


def render(failed: Sequence[Row]) -> None:
    """Render the rows of `runs.unmended`, with what can be done about them."""
    if not failed:
        return
    more = " or more" if len(failed) == MOST else ""
    needs = "needs" if len(failed) == 1 else "need"
    st.subheader(f"{format.many(len(failed), 'failed run')}{more} {needs} attention", anchor=False)
    with room.controls("failures"):
        matching = _filtered(failed)
        _offer(matching)
    for run in matching[:MOST_LISTED]:
        _line(run)
    if len(matching) > MOST_LISTED:
        st.caption(f"The newest {MOST_LISTED} of {len(matching)} are listed; the buttons above apply to all.")


def _filtered(failed: Sequence[Row]) -> list[Row]:
    job = st.selectbox(
        "Job that failed",
        sorted({run["job"] for run in failed}),
        index=None,
        placeholder="Any job",
        key="failed-job",
        width=180,
    )
    state = st.pills("How", list(STATES), format_func=STATES.__getitem__, key="failed-state")
    return [run for run in failed if job in (None, run["job"]) and state in (None, run["state"])]


def _offer(matching: Sequence[Row]) -> None:
    dead = [run["id"] for run in matching if run["state"] == "dead"]
    allowed = all(map(has_role, {queue.role(run["job"], run["dry_run"]) for run in matching}))
    again = f"Retry {format.many(len(matching), 'run')}"
    if len(matching) > 1 and allowed and st.button(again, key="retry-all", icon=":material/replay:"):
        progress.started("jobs", [retry(run["id"]) for run in matching])
        st.rerun()
    if dead and has_role("admin"):
        label = f"Discard {format.many(len(dead), 'dead letter')}"
        confirm_dialog.button(label, "discard", ":material/delete:")
        confirm_dialog.ask("discard", f"{label}?", _explain, "Discard", lambda: discard(dead))


def _explain() -> None:
    st.markdown(
        "Nobody is reminded of them any more, and what they should have done stays undone. "
        "They remain in the history, as cancelled."
    )


def _line(run: Row) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key=f"failed-{run['id']}"):
        with st.container(width="stretch"):
            progress.line(run)
        if has_role(queue.role(run["job"], run["dry_run"])) and st.button(
            "Retry", key=f"retry-{run['id']}", icon=":material/replay:"
        ):
            progress.started("jobs", [retry(run["id"])])
            st.rerun()
