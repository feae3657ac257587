"""Problems of the processes and sources: runners, counters, and sources that are not read."""

from collections.abc import Sequence, Set
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from console.data.queries.problem import Problem
from console.data.queries.rows import one
from console.ui import format
from metering.alerts.incidents import Incident
from metering.catalogue import platform as tables
from metering.catalogue.sources import POLLED_SOURCES, SOURCE_LABELS

STALE = timedelta(hours=2)  # a source refreshed hourly that is older has missed one
POLLED = tuple(source.name for source in POLLED_SOURCES)
WORKERS = text("""
    SELECT count(*) FILTER (WHERE role = 'runner' AND last_seen_at > now() - interval '30 seconds')
        AS runners, max(last_seen_at) FILTER (WHERE role = 'runner') AS runner_seen_at
    FROM workers""")
DAEMONS = text("""
    SELECT count(*) AS known, min(last_seen_at) AS last_seen_at,
        count(*) FILTER (WHERE last_seen_at > now() - interval '1 minute') AS alive,
        count(*) FILTER (WHERE connected AND last_seen_at > now() - interval '1 minute') AS connected
    FROM mqtt_sessions WHERE session_started_at IS NOT NULL AND retired_at IS NULL""")
FRESHNESS = text(
    "SELECT count(*) AS projects, "
    + ", ".join(
        f"max({source}_measured_at) AS {source}, count(*) FILTER "
        f"(WHERE {source}_measured_at < CAST(:before AS timestamptz)) AS {source}_behind"
        for source in POLLED
    )
    + f" FROM project_stats s JOIN {tables.PROJECTS} p ON p.id = s.project_id WHERE p.is_active"
)


def find(connection: Connection, at: datetime, opened: Sequence[Incident]) -> list[Problem]:
    """Return the problems of the processes; without a runner every source is old."""
    open_kinds = {one.kind for one in opened}
    absent = _workers(connection, at)
    failing = {one.subject for one in opened if one.kind == "source_failed"}
    return [
        *absent,
        *([] if "counter_silent" in open_kinds else _counter(connection, at)),
        *_sources(connection, at, failing, runs_late=bool(absent) or "job_late" in open_kinds),
    ]


def _workers(connection: Connection, at: datetime) -> list[Problem]:
    row = one(connection, WORKERS)
    if row["runners"]:
        return []
    last_seen = format.age(row["runner_seen_at"], at)
    return [
        Problem("bad", f"No job runner is alive (last seen {last_seen}): start fleetmeter runner", "health")
    ]


def _counter(connection: Connection, at: datetime) -> list[Problem]:
    row = one(connection, DAEMONS)
    if not row["known"]:
        return [Problem("warning", "No MQTT counter has connected yet: start fleetmeter counter", "health")]
    if row["alive"] < row["known"]:
        last_seen = format.age(row["last_seen_at"], at)
        which = "The MQTT counter is" if row["known"] == 1 else "An MQTT counter of the group is"
        return [Problem("bad", f"{which} silent (last seen {last_seen})", "health")]
    if row["connected"] < row["known"]:
        return [Problem("bad", "The MQTT counter runs, but its broker is away", "health")]
    return []


def _sources(connection: Connection, at: datetime, failing: Set[str], runs_late: bool) -> list[Problem]:
    row = one(connection, FRESHNESS, before=at - STALE)
    sentences = []
    for source in [source for source in POLLED if source not in failing]:
        name, newest, behind = SOURCE_LABELS[source], row[source], row[f"{source}_behind"]
        if newest is not None and at - newest > STALE:
            if runs_late:
                continue
            sentences.append(f"{name} was last measured {format.age(newest, at)}")
        elif behind:
            sentences.append(f"{name} could not be read for {format.many(behind, 'project')}")
    return [Problem("warning", sentence, "health") for sentence in sentences]
