"""Requests and runs in PostgreSQL: enqueue, claim, heartbeat, finish. All leases by its clock.

One run per job, period and scope while it is queued or running, and one scheduled run ever: both are
unique indexes, so asking twice is asking once. A run whose heartbeat is older than the lease is
claimed again; what its former worker still writes does not land, since `attempt` has moved on.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from metering.db.transactions import advisory_lock

LEASE = "20 seconds"  # a take-over is done within 30, the poll of the next runner included
ATTEMPTS = 5  # then it is a dead letter
CHANNEL = "fleetmeter_jobs"  # NOTIFY on it wakes the runners
MAX_LOST_WORKERS = (
    20  # workers that die over a run before it is taken from the queue: it may be what kills them
)
DEPRIORITIZE_AFTER = 3  # from here on a run is claimed after the others
MAX_PROJECTS_PER_RETRY = 100  # projects that a retry does one by one; more of them are the whole run again


class LeaseLost(Exception):
    """The run was cancelled, or taken over by another worker."""


@dataclass(frozen=True)
class Run:
    """A claimed run."""

    id: int
    job: str
    period: str
    project_id: int | None
    at: datetime
    dry_run: bool
    arguments: dict[str, Any]
    attempt: int
    worker: str
    trigger: str
    requested_by: str
    failed_attempts: int = 0
    result: dict[str, Any] | None = None
    errors: Sequence[Mapping[str, Any]] = ()
    started_at: datetime | None = None


def enqueue(
    connection: Connection,
    job: str,
    period: str,
    at: datetime,
    trigger: str,
    requested_by: str,
    project_id: int | None = None,
    dry_run: bool = False,
    arguments: Mapping[str, Any] | None = None,
) -> int | None:
    """Ask for a run; returns its id, or the id of the one already waiting or running.

    None when this scheduled run has been made before.
    """
    given = {
        "job": job,
        "period": period,
        "at": at,
        "trigger": trigger,
        "requested_by": requested_by,
        "project_id": project_id,
        "dry_run": dry_run,
        "arguments": json.dumps(dict(arguments or {})),
    }
    created = connection.scalar(
        text("""
            INSERT INTO job_runs (job, period, at, trigger, requested_by, project_id, dry_run, arguments)
            SELECT :job, :period, :at, :trigger, :requested_by, CAST(:project_id AS bigint), :dry_run,
                CAST(:arguments AS jsonb)
            WHERE :trigger <> 'schedule' OR NOT EXISTS (
                SELECT FROM job_runs WHERE trigger = 'schedule' AND job = :job AND period = :period
                AND coalesce(project_id, 0) = coalesce(CAST(:project_id AS bigint), 0))
            ON CONFLICT DO NOTHING RETURNING id"""),
        given,
    )
    if created is not None:
        connection.execute(text(f"NOTIFY {CHANNEL}"))
    else:
        created = connection.scalar(
            text("""
                SELECT id FROM job_runs WHERE state IN ('queued', 'running') AND job = :job
                AND period = :period AND coalesce(project_id, 0) = coalesce(:project_id, 0)
                AND dry_run = :dry_run"""),
            given,
        )
    return None if created is None else int(created)


_CLAIM = """
    UPDATE job_runs r SET state = 'running', worker = :worker, attempt = attempt + 1,
        lost_workers = lost_workers + CAST(state = 'running' AS int),
        heartbeat_at = clock_timestamp(), started_at = coalesce(started_at, clock_timestamp())
    WHERE id = (
        SELECT id FROM job_runs q
        WHERE {which} AND (
            (state = 'queued' AND next_attempt_at <= clock_timestamp())
            OR (state = 'running' AND heartbeat_at < clock_timestamp() - CAST(:lease AS interval)))
        {order}
        FOR UPDATE SKIP LOCKED LIMIT 1)
    RETURNING id, job, period, project_id, at, dry_run, arguments, attempt, worker, trigger,
        requested_by, failed_attempts, result, errors, started_at"""

# One run of a job at a time, days before their month, the hourly refresh first.
_NEXT = f"""state IN ('queued', 'running') AND NOT EXISTS (
    SELECT FROM job_runs o WHERE o.job = q.job AND o.id <> q.id AND o.state = 'running'
    AND o.heartbeat_at >= clock_timestamp() - interval '{LEASE}')
    AND NOT (q.job = 'monthly' AND NOT q.dry_run AND EXISTS (
        SELECT FROM job_runs d WHERE d.job = 'daily' AND d.state IN ('queued', 'running')
        AND d.project_id IS NULL AND NOT d.dry_run AND left(d.period, 7) <= q.period))"""
_ORDER = f"""ORDER BY lost_workers >= {DEPRIORITIZE_AFTER}, array_position(
    ARRAY['hourly', 'backfill', 'daily', 'monthly', 'anomalies', 'archive', 'retention'], job), period, id"""

DEAD_LETTER = f"""
    UPDATE job_runs SET state = 'dead', finished_at = clock_timestamp(), lost_workers = lost_workers + 1,
        errors = jsonb_build_array(jsonb_build_object('project_id', project_id, 'passing', false, 'error',
            format('%s workers died over it, the last was %s: see what its host says (memory?), then retry',
                lost_workers + 1, worker)))
    WHERE state = 'running' AND lost_workers >= {MAX_LOST_WORKERS - 1}
        AND heartbeat_at < clock_timestamp() - interval '{LEASE}'"""


def claim(connection: Connection, worker: str, run_id: int | None = None) -> Run | None:
    """Take the next run that waits or whose worker died, or that one; None when there is none.

    The next one is none that too many workers died over: that becomes a dead letter.
    """
    which, order = (_NEXT, _ORDER) if run_id is None else ("id = :id", "")
    if run_id is None:  # two that choose at once would not see each other's choice
        advisory_lock(connection, "claim")
        connection.execute(text(DEAD_LETTER))
    row = connection.execute(
        text(_CLAIM.format(which=which, order=order)), {"worker": worker, "lease": LEASE, "id": run_id}
    ).one_or_none()
    return None if row is None else Run(*row)


def heartbeat(connection: Connection, run: Run, progress: Mapping[str, Any] | None = None) -> None:
    """Renew the lease and show the progress. Raises Lost when the run is no longer this worker's."""
    _own(
        connection,
        run,
        "heartbeat_at = clock_timestamp(), progress = coalesce(CAST(:progress AS jsonb), progress)",
        progress=None if progress is None else json.dumps(progress),
    )


def hold(connection: Connection, run: Run) -> None:
    """Keep the run this worker's until the transaction ends. Raises Lost when it is not.

    What a worker writes under it cannot land after another one has taken the run over. Of all that
    happens to a run only a claim waits for it: neither a heartbeat nor a cancellation.
    """
    query = """SELECT FROM job_runs WHERE id = :id AND attempt = :attempt AND worker = :worker
        AND state = 'running' FOR KEY SHARE"""
    own = {"id": run.id, "attempt": run.attempt, "worker": run.worker}
    if connection.execute(text(query), own).one_or_none() is None:
        raise LeaseLost(f"run {run.id} is no longer {run.worker}'s")


def finish(
    connection: Connection, run: Run, state: str, result: Mapping[str, Any], errors: Sequence[Any]
) -> None:
    """The run is over. Raises Lost when it is no longer this worker's."""
    _own(
        connection,
        run,
        """state = :state, result = CAST(:result AS jsonb),
        errors = CAST(:errors AS jsonb), finished_at = clock_timestamp()""",
        state=state,
        result=json.dumps(result),
        errors=json.dumps(list(errors)),
    )


def retry_later(
    connection: Connection,
    run: Run,
    errors: Sequence[Any],
    seconds: float,
    arguments: Mapping[str, Any] | None = None,
    result: Mapping[str, Any] | None = None,
) -> str:
    """The attempt failed for a passing reason: again in `seconds`, or a dead letter if it was the last.

    `arguments` and `result`, if given, are kept for the next attempt. Returns the state it is in now.
    """
    state = "dead" if run.failed_attempts + 1 >= ATTEMPTS else "queued"
    _own(
        connection,
        run,
        """state = :state, failed_attempts = failed_attempts + 1,
        next_attempt_at = clock_timestamp() + make_interval(secs => :seconds),
        finished_at = CASE WHEN :state = 'dead' THEN clock_timestamp() END,
        errors = CAST(:errors AS jsonb), result = coalesce(CAST(:result AS jsonb), result),
        arguments = coalesce(CAST(:arguments AS jsonb), arguments)""",
        state=state,
        seconds=seconds,
        errors=json.dumps(list(errors)),
        result=None if result is None else json.dumps(result),
        arguments=None if arguments is None else json.dumps(arguments),
    )
    return state


def release(connection: Connection, run: Run) -> None:
    """The worker is told to stop: another one goes on with the chunks that are left."""
    _own(connection, run, "state = 'queued', next_attempt_at = clock_timestamp()")
    connection.execute(text(f"NOTIFY {CHANNEL}"))


def _own(connection: Connection, run: Run, assignments: str, **parameters: Any) -> None:
    changed = connection.execute(
        text(f"""UPDATE job_runs SET {assignments}
            WHERE id = :id AND attempt = :attempt AND worker = :worker AND state = 'running'"""),
        {"id": run.id, "attempt": run.attempt, "worker": run.worker} | parameters,
    ).rowcount
    if not changed:
        raise LeaseLost(f"run {run.id} is no longer {run.worker}'s")


def cancel(connection: Connection, run_id: int) -> bool:
    """Cancel a run that waits or runs; a running one stops after its chunk. False if it is over."""
    statement = """UPDATE job_runs SET state = 'cancelled', finished_at = clock_timestamp()
        WHERE id = :id AND state IN ('queued', 'running')"""
    return connection.execute(text(statement), {"id": run_id}).rowcount > 0


def retry(connection: Connection, run_id: int, requested_by: str) -> int | None:
    """Ask again for what a run left undone; None when there is no such run, or nothing is undone.

    A run that failed as a whole or was cancelled is asked for as it was; of one that left some
    projects out, a dead letter too, only those (argument `projects`); `of` names the run repeated.
    """
    row = connection.execute(
        text("""SELECT job, period, at, project_id, dry_run, arguments, state, errors FROM job_runs
            WHERE id = :id AND (state IN ('failed', 'dead', 'cancelled') OR errors <> '[]')"""),
        {"id": run_id},
    ).one_or_none()
    if row is None:
        return None
    job, period, at, project_id, dry_run, arguments, state, errors = row
    only = left_out(errors) if state != "cancelled" else {}
    if only:
        arguments = arguments | only | {"of": arguments.get("of", run_id)}
    return enqueue(connection, job, period, at, "retry", requested_by, project_id, dry_run, arguments)


def left_out(errors: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Arguments of a run that does only what `errors` name: `projects`, and `sources` of a refresh.

    Nothing where an error is of no one project, or where too many are to be done one by one.
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


def discard(connection: Connection, run_id: int) -> bool:
    """Let a dead letter rest: nobody is reminded of it any more. False if it is none."""
    statement = """UPDATE job_runs SET state = 'cancelled' WHERE id = :id AND state = 'dead'"""
    return connection.execute(text(statement), {"id": run_id}).rowcount > 0


def get(connection: Connection, run_id: int) -> dict[str, Any]:
    """One run, as it is now."""
    return dict(
        connection.execute(text("SELECT * FROM job_runs WHERE id = :id"), {"id": run_id}).mappings().one()
    )


def history(connection: Connection, limit: int = 50, job: str | None = None) -> list[dict[str, Any]]:
    """The latest runs, newest first."""
    query = text("""SELECT * FROM job_runs WHERE CAST(:job AS text) IS NULL OR job = :job
        ORDER BY id DESC LIMIT :limit""")
    return [dict(row) for row in connection.execute(query, {"job": job, "limit": limit}).mappings()]
