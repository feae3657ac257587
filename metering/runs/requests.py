"""Requests for runs: ask, ask again, cancel, discard. Owns `job_runs` together with `lease`.

At most one run of a job, period and scope is queued or running, and a scheduled one exists once
ever. Both are unique indexes, so asking twice is asking once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

CHANNEL = "fleetmeter_jobs"  # NOTIFY on it wakes the runners
MAX_PROJECTS_PER_RETRY = 100  # a retry does these one by one; above that the whole run is repeated


@dataclass(frozen=True)
class Request:
    """A request for one run.

    `period` names what the run works on (see `definitions`), `at` is the instant (UTC) that it takes
    as now. `trigger`: schedule, manual, console or retry.
    """

    job: str
    period: str
    at: datetime
    trigger: str
    requested_by: str
    project_id: int | None = None
    dry_run: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def parameters(self) -> dict[str, Any]:
        """Return the columns of `job_runs` as parameters of a statement."""
        names = ("job", "period", "at", "trigger", "requested_by", "project_id", "dry_run")
        values = {name: getattr(self, name) for name in names}
        return values | {"arguments": json.dumps(dict(self.arguments))}


INSERT = text("""
    INSERT INTO job_runs (job, period, at, trigger, requested_by, project_id, dry_run, arguments)
    SELECT :job, :period, :at, :trigger, :requested_by, CAST(:project_id AS bigint), :dry_run,
        CAST(:arguments AS jsonb)
    WHERE :trigger <> 'schedule' OR NOT EXISTS (
        SELECT FROM job_runs WHERE trigger = 'schedule' AND job = :job AND period = :period
        AND coalesce(project_id, 0) = coalesce(CAST(:project_id AS bigint), 0))
    ON CONFLICT DO NOTHING RETURNING id""")

ACTIVE = text("""
    SELECT id FROM job_runs WHERE state IN ('queued', 'running') AND job = :job
        AND period = :period AND coalesce(project_id, 0) = coalesce(:project_id, 0)
        AND dry_run = :dry_run""")

RECENT = text("""
    SELECT id FROM job_runs WHERE job = :job AND period = :period AND dry_run = :dry_run
        AND project_id IS NOT DISTINCT FROM CAST(:project_id AS bigint)
        AND trigger = :trigger AND requested_by = :requested_by
        AND created_at > now() - CAST(:within AS interval)
    ORDER BY id DESC LIMIT 1""")

SINCE = text("""
    SELECT 1 FROM job_runs WHERE job = :job AND NOT dry_run
        AND (state IN ('queued', 'running') OR at > :since) LIMIT 1""")

ANY_ACTIVE = text("""
    SELECT 1 FROM job_runs WHERE state IN ('queued', 'running') AND job = ANY(:jobs) LIMIT 1""")

INCOMPLETE = text("""
    SELECT job, period, at, project_id, dry_run, arguments, state, errors FROM job_runs
    WHERE id = :id AND (state IN ('failed', 'dead', 'cancelled') OR errors <> '[]')""")


def enqueue(connection: Connection, request: Request) -> int | None:
    """Request a run; return its id, or the id of the same run if it is queued or running already.

    Returns None if this scheduled run has been made before.
    """
    created = connection.scalar(INSERT, request.parameters())
    if created is not None:
        wake_runners(connection)
        return int(created)
    active = connection.scalar(ACTIVE, request.parameters())
    return None if active is None else int(active)


def wake_runners(connection: Connection) -> None:
    """Tell every listening runner that a run waits; sent when the transaction commits."""
    connection.execute(text(f"NOTIFY {CHANNEL}"))


def recent(connection: Connection, request: Request, within: timedelta) -> int | None:
    """Return the run of an equal request by the same person at most `within` ago."""
    run_id = connection.scalar(RECENT, request.parameters() | {"within": within})
    return None if run_id is None else int(run_id)


def is_recent(connection: Connection, job: str, since: datetime) -> bool:
    """Return whether a run of `job` is queued or running, or was made of an instant after `since`."""
    return connection.scalar(SINCE, {"job": job, "since": since}) is not None


def is_active(connection: Connection, jobs: Sequence[str]) -> bool:
    """Return whether a run of one of `jobs` is queued or running."""
    return connection.scalar(ANY_ACTIVE, {"jobs": list(jobs)}) is not None


def retry(connection: Connection, run_id: int, requested_by: str) -> int | None:
    """Request a run's unfinished work again; return the new run's id.

    A run that failed as a whole or was cancelled is requested as it was. For one that left projects
    out, dead letters included, only those are requested (argument `projects`); argument `of` is the
    run repeated. Returns None if there is no such run, or nothing is left to do.
    """
    row = connection.execute(INCOMPLETE, {"id": run_id}).one_or_none()
    if row is None:
        return None
    job, period, at, project_id, dry_run, arguments, state, errors = row
    only = left_out(errors) if state != "cancelled" else {}
    if only:
        arguments = arguments | only | {"of": arguments.get("of", run_id)}
    return enqueue(
        connection, Request(job, period, at, "retry", requested_by, project_id, dry_run, arguments)
    )


def left_out(errors: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the arguments of a run that repeats only the `projects` and `sources` of `errors`.

    Empty if an error belongs to no single project or source, or if the projects are too many.
    """
    if not errors:
        return {}
    projects = {error.get("project_id") for error in errors}
    sources = {error.get("source") for error in errors}
    only: dict[str, list[Any]] = {}
    if None not in projects and len(projects) <= MAX_PROJECTS_PER_RETRY:
        only["projects"] = sorted(projects)
    if None not in sources:
        only["sources"] = sorted(sources)
    return only


def cancel(connection: Connection, run_id: int) -> bool:
    """Cancel a queued or running run; a running one stops after its chunk. False if it has ended."""
    statement = """UPDATE job_runs SET state = 'cancelled', finished_at = clock_timestamp()
        WHERE id = :id AND state IN ('queued', 'running')"""
    return connection.execute(text(statement), {"id": run_id}).rowcount > 0


def discard(connection: Connection, run_id: int) -> bool:
    """Give up a dead letter, which ends its alert. False if the run is not a dead letter."""
    statement = """UPDATE job_runs SET state = 'cancelled' WHERE id = :id AND state = 'dead'"""
    return connection.execute(text(statement), {"id": run_id}).rowcount > 0
