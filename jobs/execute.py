"""Executing one claimed run, with its lease renewed meanwhile; and `run_now`, for one's own process."""

import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

from jobs import backoff, preview, queue, registry
from jobs.context import Advance, Context, describe_error
from jobs.dry_run import dry_run
from jobs.queue import LeaseLost, Run
from metering.catalogue import projects
from metering.config.settings import Settings
from metering.db.engine import is_passing
from metering.db.transactions import transaction
from metering.errors import DatabaseUnavailable, FleetmeterError
from metering.ledger.partitions import ensure_partitions
from metering.pricing import plans

BEAT = 5.0  # seconds between two heartbeats
LOOK = 0.5  # seconds after which new progress is shown
POLL = 0.3  # seconds between two looks at somebody else's run

log = structlog.get_logger()


class ShutdownRequested(Exception):
    """This process was told to stop between two chunks."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `exit_code` 0: done or nothing to do; 1: failed."""

    run_id: int
    job: str
    period: str
    state: str
    result: dict[str, Any] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return 0 if self.state == "succeeded" else 1

    @property
    def sentence(self) -> str:
        """What happened, on one line and, for failures, a line each."""
        done = ", ".join(f"{name} {value}" for name, value in self.result.items() if name != "preview")
        head = f"{self.job} {self.period} {self.state}"
        if self.errors:
            head += f" with {len(self.errors)} failure" + "s" * (len(self.errors) > 1)
        head += f": {done}" if done else ""
        lines = [
            (f"  project {error['project_id']}: " if error.get("project_id") else "  ") + str(error["error"])
            for error in self.errors[:20]
        ]
        return "\n".join([head, *lines])


def worker_name() -> str:
    """A name that no other process has had."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"


def run_now(
    settings: Settings,
    engine: Engine,
    job: str,
    at: datetime,
    project_id: int | None = None,
    dry_run: bool = False,
    requested_by: str = "cli",
    progress: Advance | None = None,
    arguments: dict[str, Any] | None = None,
    leave: threading.Event | None = None,
) -> Outcome:
    """Run a job in this process; if another one holds the same run, wait and return its result.

    Once `leave` is set, the chunk is finished and the rest left to a runner. Interrupted, the run is
    cancelled. Raises PeriodError for a job or period that is none, UnknownProject for a project that
    is none, MonthClosed for a backfill of what is closed.
    """
    found = registry.find(job)
    period = found.period(at, arguments or {})
    with transaction(engine) as connection:
        if project_id is not None:
            projects.require(connection, project_id)
        found.refuse(connection, at, project_id, arguments or {})
        run_id = queue.enqueue(
            connection, job, period, at, "manual", requested_by, project_id, dry_run, arguments
        )
        claimed = queue.claim(connection, worker_name(), run_id)
    while claimed is None:
        with transaction(engine) as connection:
            state = queue.get(connection, int(run_id or 0))
            if state["state"] not in ("queued", "running") or (leave is not None and leave.is_set()):
                return _outcome(state)
            claimed = queue.claim(connection, worker_name(), run_id)
        time.sleep(POLL)
    try:
        return execute(settings, engine, claimed, progress, leave)
    except KeyboardInterrupt:
        with transaction(engine) as connection:
            queue.cancel(connection, claimed.id)
        raise


def execute(
    settings: Settings,
    engine: Engine,
    run: Run,
    progress: Advance | None = None,
    leave: threading.Event | None = None,
) -> Outcome:
    """Do what `run` asks and write down how it ended; never raises for the job's own failure.

    Once `leave` is set, the chunk that runs is finished and the rest is left to another worker.
    """
    stop = threading.Event()
    shown: dict[str, Any] = {}
    lost = threading.Event()

    def advance(what: str, done: int, total: int) -> None:
        shown.update(what=what, done=done, total=total)
        if progress:
            progress(what, done, total)
        if lost.is_set():
            raise LeaseLost(f"run {run.id} was cancelled or taken over")
        if leave is not None and leave.is_set():
            raise ShutdownRequested

    beat = threading.Thread(target=_beat, args=(engine, run, shown, stop, lost), daemon=True)
    beat.start()
    try:
        where = engine if run.dry_run else _fenced(engine, run)  # what is undone cannot land
        context = Context(
            settings, where, run.at, run.requested_by, advance, run.project_id, run.dry_run, run.arguments
        )
        context.again, context.started_at = run.attempt > 1 and not run.dry_run, run.started_at
        return _finish(engine, run, context)
    except (LeaseLost, ShutdownRequested) as end:
        with transaction(engine) as connection:
            if isinstance(end, ShutdownRequested):
                _leave(connection, run)
            return _outcome(queue.get(connection, run.id))
    finally:
        stop.set()
        beat.join()


def _leave(connection: Connection, run: Run) -> None:
    if run.dry_run and run.trigger == "manual":  # whoever wanted to see it has gone
        queue.cancel(connection, run.id)
    else:
        queue.release(connection, run)


def _fenced(engine: Engine, run: Run) -> Engine:
    """`engine`, but none of its transactions begins once the run is another worker's."""
    fenced = engine.execution_options()

    def hold(connection: Connection) -> None:
        if not connection.get_execution_options().get("postgresql_readonly"):
            queue.hold(connection, run)

    event.listen(fenced, "begin", hold)
    return fenced


def _finish(engine: Engine, run: Run, context: Context) -> Outcome:
    try:
        result = _rehearsed(engine, run, context) if run.dry_run else _work(run, context)
    except (LeaseLost, ShutdownRequested):
        raise
    except Exception as error:  # a mistake of ours too: left running, it would be taken over for ever
        return _failed(engine, run, error)
    result, errors = _with_before(run, result, context.errors)
    again = [error for error in errors if error.get("passing")]
    with transaction(engine) as connection:
        if again and run.trigger != "manual" and not run.dry_run:
            state = _again(connection, run, result, errors, again)
        else:
            state = "succeeded"
            queue.finish(connection, run, state, result, errors)
    log.info("run finished", run=run.id, job=run.job, period=run.period, state=state, failures=len(errors))
    return Outcome(run.id, run.job, run.period, state, result, errors)


def _again(connection: Connection, run: Run, result: Any, errors: list[Any], again: list[Any]) -> str:
    """What may pass is tried once more, and only that: throttling, a lost connection, a conflict."""
    arguments = run.arguments | queue.left_out(again)
    wait = backoff.seconds(run.failed_attempts + 1)
    return queue.retry_later(connection, run, errors, wait, arguments, result)


def _with_before(run: Run, result: dict[str, Any], errors: list[Any]) -> tuple[dict[str, Any], list[Any]]:
    """Result and errors with those of the attempts before, which this one had no reason to repeat."""
    if not run.result or not {"projects", "sources"} & set(run.arguments):
        return result, errors
    kept = [error for error in run.errors if not error.get("passing")]
    return {**run.result, "again": result}, kept + errors


def _work(run: Run, context: Context) -> dict[str, Any]:
    """The job; for a retry of some projects, once for each of them."""
    work = registry.find(run.job).work
    only = run.arguments.get("projects")
    if only is None:
        return work(context)
    results = {}
    for context.project_id in only:
        results[str(context.project_id)] = work(context)
    return {"projects": results}


def _rehearsed(engine: Engine, run: Run, context: Context) -> dict[str, Any]:
    offered = plans.load(context.settings.plans)
    ensure_partitions(engine, run.at)  # making one in there would lock the ledger until the end
    with dry_run(engine) as context.engine:
        with transaction(context.engine) as connection:
            before = preview.measure(connection, offered, run.at)
        result = _work(run, context)
        with transaction(context.engine) as connection:
            found = preview.changes(connection, before, offered, run.at)
    found["rows"] |= {table: -rows for table, rows in context.removed.items()}
    return result | {"dry_run": True, "preview": found}


def _failed(engine: Engine, run: Run, error: Exception) -> Outcome:
    reason = describe_error(error)
    passing = isinstance(error, DatabaseUnavailable) or (isinstance(error, DBAPIError) and is_passing(error))
    _, failures = _with_before(run, {}, [{"project_id": None, "error": reason, "passing": passing}])
    with transaction(engine) as connection:
        if passing and run.trigger != "manual":
            state = queue.retry_later(connection, run, failures, backoff.seconds(run.failed_attempts + 1))
        else:
            state = "failed"
            queue.finish(connection, run, state, {}, failures)
    trace = None if isinstance(error, (FleetmeterError, DBAPIError)) else error
    about = {"run": run.id, "job": run.job, "period": run.period, "state": state, "reason": reason}
    log.warning("run failed", **about, exc_info=trace)
    if isinstance(error, FleetmeterError) and run.trigger == "manual":
        raise error
    return Outcome(run.id, run.job, run.period, state, {}, failures)


def _beat(
    engine: Engine, run: Run, shown: dict[str, Any], stop: threading.Event, lost: threading.Event
) -> None:
    written: dict[str, Any] = {}
    at = time.monotonic()
    while not stop.wait(LOOK):
        now = dict(shown)
        if now == written and time.monotonic() - at < BEAT:
            continue
        try:
            with transaction(engine) as connection:
                queue.heartbeat(connection, run, now or None)
            written, at = now, time.monotonic()
        except LeaseLost:
            lost.set()
            return
        except (DatabaseUnavailable, DBAPIError):
            continue


def _outcome(row: dict[str, Any]) -> Outcome:
    return Outcome(
        row["id"], row["job"], row["period"], row["state"], row["result"] or {}, list(row["errors"] or [])
    )
