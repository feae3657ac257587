"""Ask for runs and execute them, as tests do: with every task of the jobs."""

import threading
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from jobs.registry import TASKS
from metering.config.settings import Settings
from metering.runs import definitions, execution, foreground, requests
from metering.runs.heartbeat import Advance
from metering.runs.lease import Run
from metering.runs.outcome import Outcome
from metering.runs.requests import Request


def run_now(settings: Settings, engine: Engine, job: str, at: datetime, **options: Any) -> Outcome:
    """Run a job in this process, as the command line does."""
    request = definitions.request(job, at, "manual", "cli", **options)
    return foreground.run_now(settings, engine, TASKS, request)


def execute(
    settings: Settings,
    engine: Engine,
    run: Run,
    progress: Advance | None = None,
    leave: threading.Event | None = None,
) -> Outcome:
    """Execute a claimed run, as a runner does."""
    return execution.execute(settings, engine, TASKS, run, progress, leave)


def enqueue(
    connection: Connection, job: str, period: str, at: datetime, trigger: str, requested_by: str
) -> int | None:
    """Request a run of a job for a period.

    Returns its id, or that of the same run if it is queued or running. Returns None if this scheduled run
    has been made before.
    """
    return requests.enqueue(connection, Request(job, period, at, trigger, requested_by))
