"""Find every problem, worst first, each with the page on which it can be mended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from sqlalchemy import Connection, text

from console.data.queries import process_problems, runs
from console.data.queries.problem import Problem
from console.data.queries.rows import Row, one
from console.ui import format
from metering.alerts import incidents, titles
from metering.alerts.incidents import Incident
from metering.catalogue.sources import COUNTER_SOURCES, quoted
from metering.days.expected_days import MissingDay
from metering.months.due import due_months

MOST = 500  # open incidents that one look reads
PER_KIND = 3  # incidents of a kind that are named one by one


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
        *(process_problems.find(connection, at, opened) if platform else ()),
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
