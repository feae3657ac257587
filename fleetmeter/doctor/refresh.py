"""Check the hourly refresh: a runner, its last run, and every source."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from collectors.platform.tables import missing_indexes
from fleetmeter.doctor.finding import Finding
from metering.catalogue import platform, quantities
from metering.catalogue.projects import METERED_UNTIL
from metering.catalogue.sources import POLLED_SOURCES, SourceInfo
from metering.config.settings import Settings
from metering.db import workers
from metering.runs import listing
from metering.runs.outcome import label


def hourly(connection: Connection, settings: Settings, at: datetime) -> Iterator[Finding]:
    """Check for a runner, a run that fails, and a source that is not read."""
    yield _runner(connection)
    yield _last_run(connection, "hourly", at - timedelta(hours=2))
    for source in POLLED_SOURCES:
        if source.is_configured(settings):
            yield _source(connection, source, at)
    yield _indexes(connection)


# The projects that are on, and which of them a source has not read for two hours, the oldest first.
STALE = f"""
    SELECT count(*) AS projects, count(*) FILTER (WHERE stale) AS stale,
        (array_agg(id ORDER BY measured_at NULLS FIRST, id) FILTER (WHERE stale))[1:3] AS ids,
        min(measured_at) FILTER (WHERE stale) AS oldest, max(measured_at) AS newest
    FROM (SELECT p.id, s.{{column}} AS measured_at,
            coalesce(s.{{column}} < CAST(:at AS timestamptz) - interval '2 hours', true) AS stale
        FROM {platform.PROJECTS} p LEFT JOIN project_stats s ON s.project_id = p.id
        WHERE {{until}} > :at AND p.created_at <= CAST(:at AS timestamptz) - interval '2 hours') AS active"""


def _source(connection: Connection, source: SourceInfo, at: datetime) -> Finding:
    """Judge a source by every active project: one denied project is reported, too."""
    query = text(STALE.format(column=source.measured_at, until=METERED_UNTIL))
    row = connection.execute(query, {"at": at}).one()
    result = f"{row.projects - row.stale:,} of {row.projects:,} projects"
    if not row.stale:
        return Finding(f"source {source.name}", True, f"{source.label}: {result}")
    since = f"since {quantities.moment(row.oldest)}" if row.oldest else "ever"
    named = ", ".join(map(str, row.ids)) + (" …" if row.stale > len(row.ids) else "")
    why = _why(connection, source)
    advice = f"press Read {source.label} now on Alerts (or `fleetmeter run hourly`)"
    left_out = f"{row.stale:,} {why[0]}; project {named} not read {since}"
    reason = f"; {why[1]}" if why[1] else ""
    return Finding(f"source {source.name}", False, f"{source.label}: {result}, {left_out}", advice + reason)


def _why(connection: Connection, source: SourceInfo) -> tuple[str, str]:
    """Return a source's state after the last refresh in a word, and its reason ("" if none)."""
    run = listing.last(connection, "hourly")
    errors = [one for one in (run["errors"] or [] if run else []) if one.get("source") == source.name]
    if not errors:
        return "not measured", ""
    word = "denied" if all(one.get("kind") == "denied" for one in errors) else "not read"
    return word, str(errors[0]["error"])


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
    result = f"run {run['id']} for {run['period']} {state} at {quantities.moment(moment)}"
    reason = errors[0]["error"] if errors else "no newer run"
    return Finding(
        f"job {job}", ok, result, "" if ok else f"{reason}; press Run now on Jobs (or `fleetmeter run {job}`)"
    )
