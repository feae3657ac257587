"""Find every problem, worst first, each with the page on which it can be mended."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal

from sqlalchemy import Connection, text

from console.data.queries import runs
from console.data.queries.rows import Row, one
from console.ui import format
from metering.alerts import incidents, titles
from metering.alerts.incidents import Incident
from metering.catalogue import platform as tables
from metering.catalogue.sources import COUNTER_SOURCES, POLLED_SOURCES, SOURCE_LABELS, quoted
from metering.days.expected_days import MissingDay
from metering.months.due import due_months

STALE = timedelta(hours=2)  # a source refreshed hourly that is older has missed one
POLLED = tuple(source.name for source in POLLED_SOURCES)


MOST = 500  # open incidents that one look reads
PER_KIND = 3  # incidents of a kind that are named one by one


@dataclass(frozen=True)
class Problem:
    """A problem: one sentence, the page to open, and its incident if it has one.

    `query` is part of that page's address. `number`: how many problems it stands for.
    """

    severity: Literal["bad", "warning"]
    sentence: str
    page: str
    incident: Incident | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    number: int = 1


@dataclass(frozen=True)
class Attention:
    """All problems: those to name, worst first, and the number of each kind.

    `missing`: days of the last thirty, by project. `dates`: those days. `failed`: runs. `waiting`: open
    incidents that nobody has acknowledged.
    """

    problems: list[Problem]
    missing: int
    dates: frozenset[date]
    failed: int
    waiting: int


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


def find(
    connection: Connection, at: datetime, missing: Sequence[MissingDay], platform: bool = True
) -> Attention:
    """Return the problems at `at`; without `platform`, those of the projects only.

    `missing` are the recent days that are not sealed. A problem with an incident is named by it only.
    """
    opened = [one for one in incidents.read(connection, most=MOST) if not _is_mended(one, missing)]
    failed = runs.unmended(connection, at - timedelta(days=7)) if platform else []
    waiting = [one for one in opened if one.is_waiting]
    open_kinds = {one.kind for one in opened}
    problems = [
        *(_of_platform(connection, at, opened) if platform else ()),
        *_jobs([run for run in failed if not _has_incident(run, opened)]),
        *_days([day for day in missing if not _covers(opened, day)]),
        *([] if "unbilled" in open_kinds else _months(connection, at)),
        *([] if open_kinds & {"session_lost", "client_id_taken"} else _gaps(connection)),
        *_incidents(waiting),
    ]
    dates = frozenset(day.date for day in missing)
    worst_first = sorted(problems, key=lambda problem: problem.severity)
    return Attention(worst_first, len(missing), dates, len(failed), len(waiting))


def _is_mended(incident: Incident, missing: Sequence[MissingDay]) -> bool:
    """Return whether the days of an incident are sealed since the runner's last check."""
    return incident.kind == "snapshot_missing" and not any(
        incident.project_id in (None, day.project_id) for day in missing
    )


def _covers(opened: Sequence[Incident], day: MissingDay) -> bool:
    return any(one.kind == "snapshot_missing" and one.project_id in (None, day.project_id) for one in opened)


def _has_incident(run: Row, opened: Sequence[Incident]) -> bool:
    kinds = ("job_failed", "dead_letter")
    return any(one.kind in kinds and one.detail.get("job") == run["job"] for one in opened)


def _incidents(waiting: Sequence[Incident]) -> list[Problem]:
    """Name at most PER_KIND incidents of each kind, and count the others."""
    by_kind: dict[str, list[Incident]] = {}
    for incident in waiting:
        by_kind.setdefault(incident.kind, []).append(incident)
    named = [
        Problem(_severity(one), one.title, "alerts", one, {"incident": str(one.id)})
        for some in by_kind.values()
        for one in some[:PER_KIND]
    ]
    return named + [_others(kind, some[PER_KIND:]) for kind, some in by_kind.items() if some[PER_KIND:]]


def _others(kind: str, others: Sequence[Incident]) -> Problem:
    severity = min(map(_severity, others))
    sentence = f"{len(others)} more of kind {titles.words(kind)}"
    return Problem(severity, sentence, "alerts", None, {"kind": kind}, len(others))


def _severity(incident: Incident) -> Literal["bad", "warning"]:
    return "bad" if incident.severity == "critical" else "warning"


def _of_platform(connection: Connection, at: datetime, opened: Sequence[Incident]) -> list[Problem]:
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


def _jobs(failed: Sequence[Row]) -> list[Problem]:
    if not failed:
        return []
    jobs = ", ".join(sorted({row["job"] for row in failed}))
    sentence = f"{format.many(len(failed), 'job run')} failed in the last 7 days ({jobs})"
    return [Problem("bad", sentence, "jobs")]


def _days(missing: Sequence[MissingDay]) -> list[Problem]:
    if not missing:
        return []
    projects = len({day.project_id for day in missing})
    sentence = f"{format.many(len(missing), 'daily snapshot')} missing in {format.many(projects, 'project')}"
    return [Problem("bad", sentence, "snapshots")]


def _months(connection: Connection, at: datetime) -> list[Problem]:
    return [
        Problem("warning", f"{month} is over and not closed for every project", "billing")
        for month in due_months(connection, at)
    ]


def _gaps(connection: Connection) -> list[Problem]:
    gaps = one(connection, GAPS)["gaps"]
    sentence = f"{format.many(gaps, 'gap')} in counting, neither covered nor accepted"
    return [Problem("warning", sentence, "billing")] if gaps else []
