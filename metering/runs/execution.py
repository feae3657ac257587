"""Execute one claimed run and record its outcome."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

from metering import backoff
from metering.config.settings import Settings
from metering.db import clock
from metering.db.engine import describe_error, is_passing
from metering.db.transactions import transaction
from metering.errors import DatabaseUnavailable, FleetmeterError
from metering.ledger.partitions import ensure_partitions
from metering.pricing import plans
from metering.runs import lease, listing, preview, requests
from metering.runs.context import Context
from metering.runs.dry_run import dry_run
from metering.runs.heartbeat import Advance, Heartbeat, ShutdownRequested
from metering.runs.lease import LeaseLost, Run
from metering.runs.outcome import Outcome, label

Task = Callable[[Context], dict[str, Any]]  # does a job's work and returns its result
Tasks = Mapping[str, Task]  # by the name of the job

LOG = structlog.get_logger("runs")


def execute(
    settings: Settings,
    engine: Engine,
    tasks: Tasks,
    run: Run,
    progress: Advance | None = None,
    leave: threading.Event | None = None,
) -> Outcome:
    """Execute `run` and record its outcome.

    Once `leave` is set, the current chunk is finished and the rest is left to another worker. A
    failure of the job is part of the outcome; only a manual run raises its FleetmeterError.
    """
    with Heartbeat(engine, run, progress, leave) as heartbeat:
        context = _context(settings, engine, run, heartbeat.advance)
        try:
            outcome = _finish(engine, tasks, run, context)
        except (LeaseLost, ShutdownRequested) as end:
            if isinstance(end, ShutdownRequested):
                with suppress(LeaseLost), transaction(engine) as connection:  # cancelled meanwhile
                    _give_back(connection, run, context)
            with transaction(engine) as connection:
                outcome = Outcome.of_row(listing.get(connection, run.id))
        return replace(outcome, throttles=context.throttles)


def _context(settings: Settings, engine: Engine, run: Run, advance: Advance) -> Context:
    where = engine if run.dry_run else _fenced(engine, run)  # a rollback writes nothing
    return Context(
        settings=settings,
        engine=where,
        at=run.at,
        requested_by=run.requested_by,
        advance=advance,
        project_id=run.project_id,
        dry_run=run.dry_run,
        arguments=run.arguments,
        again=run.attempt > 1 and not run.dry_run,
        started_at=run.started_at,
        read_at=run.read_at,
    )


def _give_back(connection: Connection, run: Run, context: Context) -> None:
    lease.add_throttles(connection, run, context.throttles)
    if run.dry_run and run.trigger == "manual":  # nobody is there any more to read the preview
        requests.cancel(connection, run.id)
    else:
        lease.release(connection, run)


def _fenced(engine: Engine, run: Run) -> Engine:
    """Return `engine` such that no transaction begins once the run has another worker."""
    fenced = engine.execution_options()

    def hold(connection: Connection) -> None:
        if not connection.get_execution_options().get("postgresql_readonly"):
            lease.hold(connection, run)

    event.listen(fenced, "begin", hold)
    return fenced


def _finish(engine: Engine, tasks: Tasks, run: Run, context: Context) -> Outcome:
    try:
        _require_past(engine, run, context.settings)
        result = _preview(engine, tasks, run, context) if run.dry_run else _work(tasks, run, context)
    except (LeaseLost, ShutdownRequested):
        raise
    except Exception as error:  # a bug of ours too: left running, it would be taken over for ever
        return _failed(engine, run, error, context.throttles)
    result, errors = _with_earlier(run, result, context.errors)
    passing = [error for error in errors if error.get("passing")]
    with transaction(engine) as connection:
        lease.add_throttles(connection, run, context.throttles)
        if passing and run.trigger != "manual" and not run.dry_run:
            state = _retry(connection, run, result, errors, passing)
        else:
            state = "succeeded"
            lease.finish(connection, run, state, result, errors)
    ended = {"run": run.id, "job": run.job, "period": run.period, "state": label(state, result, errors)}
    (LOG.warning if errors else LOG.info)("run.finished", **ended, failures=len(errors))
    return _outcome(run, state, result, errors)


def _require_past(engine: Engine, run: Run, settings: Settings) -> None:
    """Raise ClockWrong for a run that a process with a wrong clock asked for; people choose `at`."""
    if run.trigger != "manual":
        with transaction(engine) as connection:
            clock.require_past(connection, run.at, settings.clock_tolerance)


def _retry(
    connection: Connection, run: Run, result: dict[str, Any], errors: list[Any], passing: list[Any]
) -> str:
    """Queue the run again after a passing failure: throttling, a lost connection, a conflict."""
    arguments = {**run.arguments, **requests.left_out(passing)}
    wait = backoff.seconds(run.failed_attempts + 1)
    return lease.retry_later(connection, run, errors, wait, arguments, result)


def _with_earlier(run: Run, result: dict[str, Any], errors: list[Any]) -> tuple[dict[str, Any], list[Any]]:
    """Add the result and the lasting errors of earlier attempts, which this one did not repeat."""
    if not run.result or not {"projects", "sources"} & set(run.arguments):
        return result, errors
    lasting = [error for error in run.errors if not error.get("passing")]
    return {**run.result, "again": result}, lasting + errors


def _work(tasks: Tasks, run: Run, context: Context) -> dict[str, Any]:
    """Do the job; a retry of some projects does it once for each of them."""
    work = tasks[run.job]
    only = run.arguments.get("projects")
    if only is None:
        return work(context)
    results = {}
    for context.project_id in only:
        results[str(context.project_id)] = work(context)
    return {"projects": results}


def _preview(engine: Engine, tasks: Tasks, run: Run, context: Context) -> dict[str, Any]:
    available = plans.load(context.settings.plans)
    ensure_partitions(engine, run.at)  # making one inside would lock the ledger until the end
    with dry_run(engine) as context.engine:
        with transaction(context.engine) as connection:
            before = preview.read_figures(connection, available, run.at)
        result = _work(tasks, run, context)
        with transaction(context.engine) as connection:
            changes = preview.changes(connection, before, available, run.at)
        if run.job == "backfill":
            changes["next_close"] = _next_close(tasks, context)
    changes["rows"] |= {table: -rows for table, rows in context.removed.items()}
    return result | {"dry_run": True, "preview": changes}


def _next_close(tasks: Tasks, context: Context) -> dict[str, Any]:
    """Return the bills of the next close after the backfill, by closing in the same dry run."""
    tasks["monthly"](replace(context, arguments={}, errors=[]))
    with transaction(context.engine) as connection:
        return preview.bills(connection)


def _failed(engine: Engine, run: Run, error: Exception, throttles: int) -> Outcome:
    reason = describe_error(error)
    passing = isinstance(error, DatabaseUnavailable) or (isinstance(error, DBAPIError) and is_passing(error))
    _, failures = _with_earlier(run, {}, [{"project_id": None, "error": reason, "passing": passing}])
    with transaction(engine) as connection:
        lease.add_throttles(connection, run, throttles)
        if passing and run.trigger != "manual":
            state = lease.retry_later(connection, run, failures, backoff.seconds(run.failed_attempts + 1))
        else:
            state = "failed"
            lease.finish(connection, run, state, {}, failures)
    trace = None if isinstance(error, (FleetmeterError, DBAPIError)) else error
    about = {"run": run.id, "job": run.job, "period": run.period, "state": state, "reason": reason}
    LOG.warning("run.failed", **about, exc_info=trace)
    if isinstance(error, FleetmeterError) and run.trigger == "manual":
        raise error
    return _outcome(run, state, {}, failures)


def _outcome(run: Run, state: str, result: dict[str, Any], errors: list[Any]) -> Outcome:
    ended = {"id": run.id, "job": run.job, "period": run.period}
    return Outcome.of_row(ended | {"state": state, "result": result, "errors": errors})
