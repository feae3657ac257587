"""Health: the processes, the sources, the queue and the database behind the figures."""

import time
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from importlib import metadata

import streamlit as st
from sqlalchemy import text

from console.data.queries import health
from console.data.queries.problem import Problem
from console.data.queries.process_problems import STALE
from console.data.queries.rows import Row
from console.data.session import current_scope
from console.data.transactions import read_transaction
from console.ui import format, remedies, states
from console.ui.health_summary import WELL_INSIDE, show_problems
from console.ui.page_header import head, loading
from console.ui.states import StatusLabel
from console.ui.table import Column, table
from console.views.health import doctor, sources, tokens
from console.views.overview import page as overview
from metering.catalogue import brokers
from metering.catalogue.sources import SOURCE_LABELS

WORKERS = (
    Column("state", "State", "state"),
    Column("role", "Role"),
    Column("name", "Name", "name"),
    Column("host", "Where", "name"),
    Column("pid", "Process", "id"),
    Column("last_seen_at", "Last seen (UTC)", "instant"),
    Column("started_at", "Since (UTC)", "instant"),
)
GAPS = (
    Column("id", "Gap", "id"),
    Column("label", "Source"),
    Column("starts_at", "From (UTC)", "instant"),
    Column("ends_at", "To (UTC)", "instant"),
    Column("projects", "Projects", "count", help="Empty: every project"),
    Column("reason", "Reason"),
)
DRIFT = (
    Column("source", "Their count by"),
    Column("hour", "Hour (UTC)", "instant"),
    Column("theirs", "Their messages", "count"),
    Column("ours", "Our messages", "count"),
    Column("difference", "Drift", "count"),
    Column("percent", "Drift of theirs"),
    Column("restarts", "Broker restarts", "count", help="What it received before one is not known"),
    Column("at", "Compared (UTC)", "instant"),
)
UNATTRIBUTED = (
    Column("reason", "Reason", "name"),
    Column("messages", "Messages", "count"),
    Column("latest", "Latest (UTC)", "instant"),
    Column("samples", "Sample topics", "name"),
)


def show() -> None:
    """Show the page."""
    as_of = head("Health", renews=True)
    with loading():
        all_problems = overview.query(current_scope()).attention.problems
    with read_transaction() as page:
        workers = health.workers(page.connection)
        freshness = health.freshness(page.connection, page.at - STALE)
        queue = health.queue(page.connection)
        gaps = health.gaps(page.connection)
        drift = health.drift(page.connection, page.at)
        unattributed = health.unattributed(page.connection, page.at)
        server = health.database(page.connection)
        began = time.perf_counter()
        page.connection.execute(text("SELECT 1"))
        latency = time.perf_counter() - began
    as_of(page.at)
    inside = [problem for problem in all_problems if _is_inside(problem)]
    show_problems(inside, page.at, here="health", well=WELL_INSIDE)
    _figures(queue, server, latency, page.at)
    _workers(workers, page.at)
    sources.render(freshness, page.at)
    _drift(drift)
    _gaps(gaps)
    _unattributed(unattributed)
    doctor.render()
    tokens.render()


def _is_inside(problem: Problem) -> bool:
    """Return whether a problem is about processes and sources, which this page shows."""
    kind = problem.incident.kind if problem.incident else None
    return problem.page == "health" or remedies.PAGES.get(kind or "") == "health"


def _figures(queue: Row, server: Row, latency: float, at: datetime) -> None:
    waits = f"oldest asked {format.age(queue['oldest'], at)}" if queue["oldest"] else None
    stalled = f"{format.many(queue['stalled'], 'run')} without a heartbeat" if queue["stalled"] else None
    cards = (
        ("Queued runs", format.count(queue["queued"]), waits),
        ("Running", format.count(queue["running"]), stalled),
        ("Database answers in", format.duration(latency), f"PostgreSQL {server['version'].split()[0]}"),
        ("Database size", format.size(server["size_bytes"]), f"{server['connections']:,} connections"),
        ("Fleetmeter", _version("fleetmeter"), f"Streamlit {_version('streamlit')}"),
        ("Schema", _schema(server["revision"]), f"at {server['revision']}"),
    )
    grid = st.grid("auto", min_column_width=150, row_height=132, key="health")
    for label, value, note in cards:
        grid.metric(label, value, note, delta_color="off", delta_arrow="off", border=True, height="stretch")


@lru_cache
def _version(package: str) -> str:
    return metadata.version(package)


def _schema(revision: str | None) -> str:
    return "newest" if revision == health.head() else "run migrate"


def _workers(workers: Sequence[Row], at: datetime) -> None:
    st.subheader("Processes", anchor=False)
    if not workers:
        st.info("No process has been seen yet. Start `fleetmeter runner` and `fleetmeter counter`.")
        return
    rows = [{**row, "state": _process(row)} for row in workers]
    table(rows, WORKERS, "workers", "Runners and counters seen in the last day", placeholder="—")
    if any(row["approximate"] for row in workers):
        st.warning(f"MQTT {brokers.APPROXIMATE}")


def _process(row: Row) -> StatusLabel:
    if row["alive"]:
        return states.ALIVE
    return states.ENDED if row["is_replaced"] else states.GONE


def _drift(drift: Sequence[Row]) -> None:
    st.subheader("Drift against the broker's own count", anchor=False)
    if not drift:
        st.caption(
            "Nothing compared in the last 7 days: the `reconcile` job compares where the broker of "
            "`MQTT_URL` is AWS IoT, or publishes `$SYS` counters as mosquitto does."
        )
        return
    rows = [
        {**row, "percent": format.UNKNOWN if row["share"] is None else f"{row['share']:+.2%}"}
        for row in drift
    ]
    table(rows, DRIFT, "drift", "The newest hour that was compared, by who counted")


def _gaps(gaps: Sequence[Row]) -> None:
    if not gaps:
        return
    st.subheader("Gaps in counting", anchor=False)
    st.caption(
        "While one of these touches a month, that month cannot close for the projects it concerns. Cover it "
        "with a backfill, or accept it: `fleetmeter accept-gap`."
    )
    rows = [{**row, "label": SOURCE_LABELS.get(row["source"], row["source"])} for row in gaps]
    table(rows, GAPS, "gaps", "Gaps that are neither covered nor accepted", placeholder="—")


def _unattributed(unattributed: Sequence[Row]) -> None:
    st.subheader("Messages that match no project, last 24 hours", anchor=False)
    if not unattributed:
        st.caption("None: every message was counted for a project.")
        return
    table(unattributed, UNATTRIBUTED, "unattributed", "Messages without a project, by reason")
