"""The lease of a running job: claim, renew, finish, give back. All by the database's clock.

A run whose heartbeat is older than the lease is claimed again. Its former worker writes nothing
any more, since `attempt` is a higher number.
"""

import json
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from metering.db.transactions import advisory_lock
from metering.runs import pauses
from metering.runs.definitions import RANKED
from metering.runs.requests import Request, wake_runners

LEASE = "20 seconds"  # a takeover is done within 30, the poll of the next runner included
ATTEMPTS = 5  # then the run becomes a dead letter
MAX_LOST_WORKERS = 20  # workers that die over a run before it leaves the queue: it may be what kills them
DEPRIORITIZE_AFTER = 3  # lost workers from which on a run is claimed after the others


class LeaseLost(Exception):
    """The run was cancelled, or taken over by another worker."""


@dataclass(frozen=True, kw_only=True)
class Run(Request):
    """A claimed request: the attempt of this worker, and the results of earlier ones.

    `read_at`: the present instant, which dates what the run reads; None where `at` is the present.
    """

    id: int
    attempt: int
    worker: str
    failed_attempts: int = 0
    result: dict[str, Any] | None = None
    errors: Sequence[Mapping[str, Any]] = ()
    started_at: datetime | None = None
    read_at: datetime | None = None


def worker_name() -> str:
    """Return a unique name for this process."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"


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

# One run of a job at a time; a month waits for its days; what a pause leaves out waits for its end.
_NEXT = f"""NOT {pauses.IS_PAUSED} AND state IN ('queued', 'running') AND NOT EXISTS (
    SELECT FROM job_runs o WHERE o.job = q.job AND o.id <> q.id AND o.state = 'running'
    AND o.heartbeat_at >= clock_timestamp() - interval '{LEASE}')
    AND NOT (q.job = 'monthly' AND NOT q.dry_run AND EXISTS (
        SELECT FROM job_runs d WHERE d.job = 'daily' AND d.state IN ('queued', 'running')
        AND d.project_id IS NULL AND NOT d.dry_run AND left(d.period, 7) <= q.period))"""
_ORDER = f"""ORDER BY lost_workers >= {DEPRIORITIZE_AFTER},
    array_position(CAST(:ranked AS text[]), job), period, id"""

DEAD_LETTER = f"""
    UPDATE job_runs SET state = 'dead', finished_at = clock_timestamp(), lost_workers = lost_workers + 1,
        errors = jsonb_build_array(jsonb_build_object('project_id', project_id, 'passing', false, 'error',
            format('%s workers died over it, the last was %s: see what its host says (memory?), then retry',
                lost_workers + 1, worker)))
    WHERE state = 'running' AND lost_workers >= {MAX_LOST_WORKERS - 1}
        AND heartbeat_at < clock_timestamp() - interval '{LEASE}'"""


def claim(connection: Connection, worker: str, run_id: int | None = None) -> Run | None:
    """Claim the next run that waits or whose worker died, or run `run_id`; None if there is none.

    Never returns a run that has killed too many workers; such a run becomes a dead letter.
    """
    which, order = (_NEXT, _ORDER) if run_id is None else ("id = :id", "")
    if run_id is None:  # two workers that choose at once would not see each other's choice
        advisory_lock(connection, "claim")
        connection.execute(text(DEAD_LETTER))
    row = connection.execute(
        text(_CLAIM.format(which=which, order=order)),
        {"worker": worker, "lease": LEASE, "id": run_id, "ranked": list(RANKED)},
    ).one_or_none()
    return None if row is None else Run(**row._mapping)


def heartbeat(connection: Connection, run: Run, progress: Mapping[str, Any] | None = None) -> None:
    """Renew the lease and store the progress. Raises LeaseLost if the run has another worker."""
    _update_own(
        connection,
        run,
        "heartbeat_at = clock_timestamp(), progress = coalesce(CAST(:progress AS jsonb), progress)",
        progress=None if progress is None else json.dumps(progress),
    )


def hold(connection: Connection, run: Run) -> None:
    """Keep the run with this worker until the transaction ends. Raises LeaseLost.

    The worker cannot write rows after another one has taken the run over. Only a claim
    waits for it: neither a heartbeat nor a cancellation does.
    """
    query = """SELECT FROM job_runs WHERE id = :id AND attempt = :attempt AND worker = :worker
        AND state = 'running' FOR KEY SHARE"""
    own = {"id": run.id, "attempt": run.attempt, "worker": run.worker}
    if connection.execute(text(query), own).one_or_none() is None:
        raise _lost(run)


def finish(
    connection: Connection, run: Run, state: str, result: Mapping[str, Any], errors: Sequence[Any]
) -> None:
    """End the run in `state`. Raises LeaseLost if it has another worker."""
    _update_own(
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
    """Queue the run again in `seconds`, or make it a dead letter if this was its last attempt.

    `arguments` and `result` are stored for the next attempt if they are not None. Returns the new
    state. Raises LeaseLost.
    """
    state = "dead" if run.failed_attempts + 1 >= ATTEMPTS else "queued"
    _update_own(
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


def add_throttles(connection: Connection, run: Run, throttles: int) -> None:
    """Add to the answers by which sources asked this run for fewer requests. Raises LeaseLost."""
    if throttles:
        _update_own(connection, run, "throttles = throttles + :throttles", throttles=throttles)


def release(connection: Connection, run: Run) -> None:
    """Queue the run at once for another worker, which does the chunks that are left."""
    _update_own(connection, run, "state = 'queued', next_attempt_at = clock_timestamp()")
    wake_runners(connection)


def _update_own(connection: Connection, run: Run, assignments: str, **parameters: Any) -> None:
    changed = connection.execute(
        text(f"""UPDATE job_runs SET {assignments}
            WHERE id = :id AND attempt = :attempt AND worker = :worker AND state = 'running'"""),
        {"id": run.id, "attempt": run.attempt, "worker": run.worker} | parameters,
    ).rowcount
    if not changed:
        raise _lost(run)


def _lost(run: Run) -> LeaseLost:
    return LeaseLost(f"run {run.id} is no longer {run.worker}'s")
