"""Run a job in the calling process and return its outcome."""

import threading
import time
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Engine

from metering.catalogue import projects
from metering.config.settings import Settings
from metering.db.transactions import transaction
from metering.runs import definitions, lease, listing, requests
from metering.runs.execution import Tasks, execute
from metering.runs.heartbeat import Advance
from metering.runs.lease import Run
from metering.runs.outcome import Outcome
from metering.runs.requests import Request

POLL = 0.3  # seconds between two looks at another process's run


def run_now(
    settings: Settings,
    engine: Engine,
    tasks: Tasks,
    request: Request,
    progress: Advance | None = None,
    leave: threading.Event | None = None,
    read_at: datetime | None = None,
) -> Outcome:
    """Run `request` here; if another process has the same run, wait and return its outcome.

    `read_at`: the present instant, which dates what is read, if the `at` of the request may be
    another one. Once `leave` is set, the current chunk is finished and the rest is left to a runner.
    Interrupted, the run is cancelled. Raises UnknownProject for a project that does not exist, and
    the errors of the job's definition (PeriodError, MonthClosed).
    """
    run_id = _enqueue(engine, request)
    run = _claim(engine, run_id, leave)
    if isinstance(run, Outcome):
        return run
    try:
        return execute(settings, engine, tasks, replace(run, read_at=read_at), progress, leave)
    except KeyboardInterrupt:
        with transaction(engine) as connection:
            requests.cancel(connection, run.id)
        raise


def _enqueue(engine: Engine, request: Request) -> int:
    with transaction(engine) as connection:
        if request.project_id is not None:
            projects.require(connection, request.project_id)
        definitions.find(request.job).check(connection, request)
        return int(requests.enqueue(connection, request) or 0)


def _claim(engine: Engine, run_id: int, leave: threading.Event | None) -> Run | Outcome:
    """Claim the run, or return its outcome once another worker has ended it."""
    worker = lease.worker_name()
    while True:
        with transaction(engine) as connection:
            run = lease.claim(connection, worker, run_id)
            if run is not None:
                return run
            row = listing.get(connection, run_id)
            if row["state"] not in ("queued", "running") or (leave is not None and leave.is_set()):
                return Outcome.of_row(row)
        time.sleep(POLL)
