"""The history of runs: filtered by state and job, a page at a time, all in the address."""

from collections.abc import Sequence

import streamlit as st

from console import address
from console.data.queries import runs
from console.data.queries.rows import Row
from console.data.transactions import read_transaction
from console.ui import links, progress, room
from console.ui.table import Column, table
from jobs import queue

JOBS = tuple(queue.BY_NAME)


def _project(row: Row) -> str | None:
    return None if row["project_id"] is None else links.project(row["project_id"])


COLUMNS = (
    Column("id", "Run", "id", link=lambda row: links.run(row["id"]), width=70),
    Column("job", "Job", narrow="title"),
    Column("period", "Period"),
    Column("project", "Project", "name", link=_project, narrow="detail"),
    Column("label", "State", narrow="detail"),
    Column("outcome", "Result", narrow="detail", width="large"),
    Column("seconds", "Took", "seconds", narrow="figure"),
    Column("trigger", "Trigger"),
    Column("requested_by", "Triggered by", "name"),
    Column("attempt", "Attempt", "count"),
    Column("created_at", "Triggered (UTC)", "instant"),
    Column("finished_at", "Ended (UTC)", "instant"),
)
PER_PAGE = 50


def render() -> None:
    """Render the filters and the runs that match."""
    address.parse("state", address.one_of(runs.STATES), "a state: " + ", ".join(runs.STATES))
    address.parse("job", address.one_of(JOBS), "a job: " + ", ".join(JOBS))
    address.parse("before", address.number, "the number of a run")
    address.parse("previews", _is_hidden, "`hidden`")
    filters = {name: st.session_state.get(name) for name in ("state", "job", "before")}
    with read_transaction() as page:
        previews = not st.session_state.get("previews", False)
        listed = runs.history(page.connection, **filters, most=PER_PAGE, previews=previews)
    _filters()
    for name, value in filters.items():
        address.write(name, None if value is None else str(value))
    address.write("previews", None if previews else "hidden")
    if listed:
        rows = [_row(run) for run in listed]
        table(rows, COLUMNS, "history", "Runs, newest first, fifty a page", placeholder="—")
    elif any(filters.values()):
        st.info("No matching runs. Choose another state or job, or the newest runs.")
    else:
        st.info("No job ran yet. Start `fleetmeter runner`.")
    _pages(listed, filters["before"])


def _filters() -> None:
    with room.controls("history"):
        st.subheader("History", anchor=False, width="stretch")
        st.toggle("Hide previews", key="previews", on_change=_go, args=(None,))
        for name, options in (("job", JOBS), ("state", runs.STATES)):
            st.selectbox(
                name.capitalize(),
                options,
                index=None,
                placeholder=f"Any {name}",
                key=name,
                width=180,
                on_change=_go,
                args=(None,),
                format_func=lambda key: progress.LOOKS[key][2] if key in progress.LOOKS else key,
            )


def _pages(listed: Sequence[Row], before: int | None) -> None:
    if before is None and len(listed) < PER_PAGE:
        return
    with st.container(horizontal=True):
        st.button("Newest runs", key="newest", on_click=_go, args=(None,), disabled=before is None)
        last = listed[-1]["id"] if listed else None
        st.button("Older runs", key="older", on_click=_go, args=(last,), disabled=len(listed) < PER_PAGE)


def _go(before: int | None) -> None:
    st.session_state["before"] = before
    address.write("before", None if before is None else str(before))


def _is_hidden(raw: str) -> bool:
    if raw != "hidden":
        raise ValueError(raw)
    return True


def _row(run: Row) -> Row:
    return {
        **run,
        "label": progress.look(run)[2],
        "outcome": progress.outcome(run),
        "project": "every project" if run["project_id"] is None else run["project"],
    }
