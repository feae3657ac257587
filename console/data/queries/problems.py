"""Is it all right? Everything that is not, worst first, each with the page that mends it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from sqlalchemy import Connection, text

from console.data.queries import runs
from console.data.queries.rows import Row, every, one
from console.ui import escape, format
from metering.catalogue import platform as tables
from metering.catalogue.sources import COUNTER_SOURCES, POLLED_SOURCES, SOURCE_LABELS, quoted
from metering.days.expected_days import MissingDay
from metering.months.due import due_months

STALE = timedelta(hours=2)  # a source refreshed hourly that is older has missed one
POLLED = tuple(source.name for source in POLLED_SOURCES)
Kind = Literal["day", "run", "alert", "other"]


@dataclass(frozen=True)
class Problem:
    """Something that is not all right: one sentence, where to go, and how many of what kind it is."""

    severity: Literal["bad", "warning"]
    sentence: str
    page: str
    kind: Kind = "other"
    number: int = 1
    days: frozenset[date] = frozenset()


def count(problems: Iterable[Problem], kind: Kind) -> int:
    """How many there are of a kind: missing days, failed runs, alerts."""
    return sum(problem.number for problem in problems if problem.kind == kind)


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

GAPS = text(f"""
    SELECT count(*) AS gaps FROM fleetmeter_gaps()
    WHERE covered_at IS NULL AND accepted_at IS NULL AND source IN {quoted(COUNTER_SOURCES)}""")

ALERTS = text("""
    SELECT a.severity, count(*) AS alerts, (array_agg(a.kind ORDER BY a.id DESC))[1] AS kind,
        (array_agg(p.name ORDER BY a.id DESC))[1] AS project
    FROM alerts a LEFT JOIN projects p ON p.id = a.project_id
    WHERE a.resolved_at IS NULL AND a.acknowledged_by IS NULL GROUP BY a.severity ORDER BY a.severity""")


def find(
    connection: Connection, at: datetime, missing: Sequence[MissingDay], platform: bool = True
) -> list[Problem]:
    """Every problem at `at`, the bad ones first; without `platform`, those of the projects alone.

    `missing` are the days of late that are not sealed.
    """
    problems = [
        *(_of_platform(connection, at) if platform else ()),
        *_days(missing),
        *_months(connection, at),
        *_gaps(connection),
        *_alerts(connection),
    ]
    return sorted(problems, key=lambda problem: problem.severity)


def _of_platform(connection: Connection, at: datetime) -> list[Problem]:
    return [
        *_workers(connection, at),
        *_counter(connection, at),
        *_sources(connection, at),
        *_jobs(connection, at),
    ]


def _workers(connection: Connection, at: datetime) -> list[Problem]:
    row = one(connection, WORKERS)
    if row["runners"]:
        return []
    seen = format.age(row["runner_seen_at"], at)
    return [Problem("bad", f"No job runner is alive (last seen {seen}): start fleetmeter runner", "health")]


def _counter(connection: Connection, at: datetime) -> list[Problem]:
    row = one(connection, DAEMONS)
    if not row["known"]:
        return [Problem("warning", "No MQTT counter has connected yet: start fleetmeter counter", "health")]
    if row["alive"] < row["known"]:
        seen = format.age(row["last_seen_at"], at)
        which = "The MQTT counter is" if row["known"] == 1 else "An MQTT counter of the group is"
        return [Problem("bad", f"{which} silent (last seen {seen})", "health")]
    if row["connected"] < row["known"]:
        return [Problem("bad", "The MQTT counter runs, but its broker is away", "health")]
    return []


def _sources(connection: Connection, at: datetime) -> list[Problem]:
    row = one(connection, FRESHNESS, before=at - STALE)
    sentences = []
    for source in POLLED:
        name, newest, behind = SOURCE_LABELS[source], row[source], row[f"{source}_behind"]
        if newest is not None and at - newest > STALE:
            sentences.append(f"{name} was last measured {format.age(newest, at)}")
        elif behind:
            sentences.append(f"{name} could not be read for {format.many(behind, 'project')}")
    return [Problem("warning", sentence, "health") for sentence in sentences]


def _jobs(connection: Connection, at: datetime) -> list[Problem]:
    failed = runs.unmended(connection, at - timedelta(days=7))
    if not failed:
        return []
    jobs = ", ".join(sorted({row["job"] for row in failed}))
    sentence = f"{format.many(len(failed), 'job run')} failed in the last 7 days ({jobs})"
    return [Problem("bad", sentence, "jobs", "run", len(failed))]


def _days(missing: Sequence[MissingDay]) -> list[Problem]:
    if not missing:
        return []
    projects = len({day.project_id for day in missing})
    sentence = f"{format.many(len(missing), 'daily snapshot')} missing in {format.many(projects, 'project')}"
    dates = frozenset(day.date for day in missing)
    return [Problem("bad", sentence, "snapshots", "day", len(missing), dates)]


def _months(connection: Connection, at: datetime) -> list[Problem]:
    return [
        Problem("warning", f"{month} is over and not closed for every project", "billing")
        for month in due_months(connection, at)
    ]


def _gaps(connection: Connection) -> list[Problem]:
    gaps = one(connection, GAPS)["gaps"]
    sentence = f"{format.many(gaps, 'gap')} in counting, neither covered nor accepted"
    return [Problem("warning", sentence, "billing")] if gaps else []


def _alerts(connection: Connection) -> list[Problem]:
    return [
        Problem(
            "bad" if row["severity"] == "critical" else "warning",
            f"{format.many(row['alerts'], row['severity'] + ' alert')} not acknowledged{_newest(row)}",
            "alerts",
            "alert",
            row["alerts"],
        )
        for row in every(connection, ALERTS)
    ]


def _newest(row: Row) -> str:
    whose = f" of {escape.markdown(row['project'], 40)}" if row["project"] is not None else ""
    return f", the newest: {escape.markdown(row['kind'].replace('_', ' '))}{whose}"
