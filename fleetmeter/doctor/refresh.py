"""Check the hourly refresh: a runner, its last run, and every source."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection

from collectors.platform.tables import missing_indexes
from fleetmeter import status as overview
from fleetmeter.doctor.finding import Finding
from metering.catalogue.sources import POLLED_SOURCES
from metering.config.settings import Settings
from metering.db import workers
from metering.runs import listing
from metering.runs.outcome import label


def hourly(connection: Connection, settings: Settings, at: datetime) -> Iterator[Finding]:
    """Check for a runner, a run that fails, and a source that is not read."""
    yield _runner(connection)
    yield _last_run(connection, "hourly", at - timedelta(hours=2))
    measured = overview.sources(connection)
    for source in POLLED_SOURCES:
        if not source.is_configured(settings):
            continue
        last = measured[source.name]["last_measured_at"]
        ok = last is not None and at - last < timedelta(hours=2)
        advice = "" if ok else f"run `fleetmeter run hourly` and read what it says of {source.name}"
        yield Finding(f"source {source.name}", ok, f"last measured at {last or 'no time yet'}", advice)
    yield _indexes(connection)


def _indexes(connection: Connection) -> Finding:
    missing = missing_indexes(connection)
    result = "each counted table has one on created_at"
    if missing:
        result = f"{len(missing)} counted tables have none on created_at, and are read whole every hour"
    return Finding("indexes", not missing, result, "; ".join(missing))


def _runner(connection: Connection) -> Finding:
    alive = workers.alive(connection, "runner")
    advice = "" if alive else "start `fleetmeter runner`; until then jobs run only by hand"
    return Finding("runner", bool(alive), f"{alive} alive", advice)


def _last_run(connection: Connection, job: str, since: datetime) -> Finding:
    run = listing.last(connection, job)
    if run is None:
        return Finding(f"job {job}", False, "never ran", f"start the runner, or `fleetmeter run {job}`")
    moment = run["finished_at"] or run["created_at"]
    errors = run["errors"] or []
    ok = run["state"] in ("succeeded", "running", "queued") and moment > since and not errors
    state = label(run["state"], run["result"], errors)
    result = f"run {run['id']} for {run['period']} {state} at {moment:%Y-%m-%d %H:%M}"
    reason = errors[0]["error"] if errors else "no newer run"
    return Finding(f"job {job}", ok, result, "" if ok else f"{reason}; retry with `fleetmeter run {job}`")
