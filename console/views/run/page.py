"""Run: one job run, its trigger, steps, errors and changes, with a button to retry it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import streamlit as st
from sqlalchemy import Connection

from console import address
from console.actions import cancel, retry
from console.data.queries import run_details, runs
from console.data.queries.rows import Row
from console.data.session import has_role
from console.data.transactions import read_transaction
from console.pages import link
from console.ui import error_boundary, escape, links, listing, progress, run_preview
from console.ui.page_header import head, loading
from console.ui.table import Column
from console.views.run import steps
from jobs import queue

ERRORS = (
    Column("error", "Left out or failed", narrow="title"),
    Column("project_id", "Project", "id", narrow="detail", link=lambda row: _project(row["project_id"])),
    Column("source", "Source", narrow="detail"),
)
DAYS = (
    Column("project", "Project", "name", link=lambda row: links.project(row["project_id"])),
    Column("days", "Days sealed", "count"),
    Column("first", "From", "date"),
    Column("last", "To", "date"),
)
ALERTS = (
    Column("what", "Alert", narrow="title", link=lambda _row: links.address("alerts")),
    Column("subject", "Subject", "name", narrow="detail"),
    Column("opened_at", "Opened (UTC)", "instant"),
    Column("resolved_at", "Resolved (UTC)", "instant"),
)
RUNS = (
    Column("title", "Run", narrow="title", link=lambda row: links.run(row["id"])),
    Column("label", "State"),
    Column("created_at", "Triggered (UTC)", "instant"),
)
RETRIED = ("failed", "dead", "cancelled")


@dataclass(frozen=True)
class Details:
    """A run with its instants, sealed days, alerts and actions."""

    run: Row
    times: Row
    days: list[Row]
    alerts: list[Row]
    actions: list[Row]


def show() -> None:
    """Show the page."""
    address.parse("id", address.number, "the number of a run")
    number = st.session_state.get("id")
    as_of = head("Run")
    with loading():
        read_at, details, newest = _read(int(number or 0))
    as_of(read_at)
    if details is None:
        _none(number, newest)
        return
    st.subheader(progress.title(details.run), anchor=False)
    _state(details)
    if details.run["state"] in ("queued", "running"):
        _watch(details.run["id"])
    steps.render(details.run, details.times, details.actions)
    _errors(details.run)
    _changed(details)
    link("jobs", f"Every run of {details.run['job']}", job=str(details.run["job"]))


def _project(project_id: int | None) -> str | None:
    return None if project_id is None else links.project(project_id)


def _read(number: int) -> tuple[datetime, Details | None, list[Row]]:
    """Return the instant and the run of that number; without one, the newest runs."""
    with read_transaction() as page:
        run = runs.find(page.connection, number)
        if run is None:
            return page.at, None, runs.history(page.connection, most=20)
        return page.at, Details(run, *_about(page.connection, number)), []


def _about(connection: Connection, number: int) -> tuple[Row, list[Row], list[Row], list[Row]]:
    return (
        run_details.times(connection, number),
        run_details.days(connection, number),
        run_details.alerts(connection, number),
        run_details.actions(connection, number),
    )


def _none(number: int | None, newest: Sequence[Row]) -> None:
    if number is not None:
        address.refuse("id", str(number), "the number of a run that is kept")
    if not newest:
        st.info("No job ran yet. Start `fleetmeter runner`.")
        return
    st.subheader("The newest runs", anchor=False)
    rows = [
        {**run, "title": f"{run['job']} {run['period']}", "label": progress.look(run)[2]} for run in newest
    ]
    listing.render(rows, RUNS, "The newest runs")


def _state(details: Details) -> None:
    run = details.run
    with st.container(horizontal=True, vertical_alignment="center"):
        progress.badge(run)
        st.caption(progress.detail(run), width="stretch")
        if run["state"] in ("queued", "running"):
            if has_role("operator") and st.button("Cancel", key="run-cancel", icon=":material/close:"):
                cancel(run["id"])
                st.rerun()
        elif _repeats(run) and st.button("Retry", key="run-retry", icon=":material/replay:"):
            again = retry(run["id"])
            st.session_state["id"] = again
            address.write("id", str(again))
            st.rerun()
    if run["dry_run"] and "preview" in (run["result"] or {}):
        run_preview.render(run["result"]["preview"], str(run["id"]))


def _repeats(run: Row) -> bool:
    is_unfinished = run["state"] in RETRIED or bool(run["errors"])
    return is_unfinished and has_role(queue.role(run["job"], run["dry_run"]))


@st.fragment(run_every=1)
@error_boundary.guarded
def _watch(number: int) -> None:
    with read_transaction() as page:
        run = runs.find(page.connection, number)
    if run is not None and run["state"] in ("queued", "running"):
        progress.bar(run)
    else:
        st.rerun()


def _errors(run: Row) -> None:
    if not run["errors"]:
        return
    st.subheader("Log", anchor=False)
    rows = [
        {
            "error": str(entry.get("error", "")),
            "project_id": entry.get("project_id"),
            "source": entry.get("source"),
        }
        if isinstance(entry, Mapping)
        else {"error": str(entry), "project_id": None, "source": None}
        for entry in run["errors"]
    ]
    listing.render(rows, ERRORS, "What this run could not do", placeholder="—")


def _changed(details: Details) -> None:
    st.subheader("What it changed", anchor=False)
    sentence = progress.outcome(details.run) if details.run["finished_at"] else "It has not ended."
    st.markdown(escape.markdown(sentence or "Nothing.", 2_000))
    if details.days:
        listing.render(details.days, DAYS, "Days sealed while it ran, by project")
    if details.alerts:
        rows: Sequence[Row] = [{**row, "what": row["kind"].replace("_", " ")} for row in details.alerts]
        listing.render(rows, ALERTS, "Alerts about this run", placeholder="—")
