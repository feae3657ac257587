"""Job runs as pages show them: queued, running and ended."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from console.data.queries.rows import Row, every
from metering.alerts.rules import MENDED
from metering.catalogue import platform

LEFT_OUT = "left_out"  # succeeded, but projects, sources or months were left out
STATES = ("queued", "running", "succeeded", LEFT_OUT, "failed", "cancelled", "dead")

_RUN = f"""
    SELECT r.id, r.job, r.period, r.state, r.trigger, r.requested_by, r.dry_run, r.attempt,
        r.project_id, p.name AS project, r.progress, r.result, r.errors, r.throttles, r.worker,
        r.created_at, r.started_at, r.finished_at,
        extract(epoch FROM coalesce(r.finished_at, now()) - r.started_at)::float AS seconds
    FROM job_runs r LEFT JOIN {platform.PROJECTS} p ON p.id = r.project_id"""

ACTIVE = text(f"{_RUN} WHERE r.state IN ('queued', 'running') ORDER BY r.id LIMIT 50")
ONE = text(f"{_RUN} WHERE r.id = :id")
# As metering.runs.outcome.left_out counts; a preview left nothing out.
_HAS_LEFT_OUT = """r.state = 'succeeded' AND NOT r.dry_run AND (r.errors <> '[]'
    OR jsonb_path_exists(r.result, '$.blocked.*') OR jsonb_path_exists(r.result, '$.projects.*.blocked.*'))"""

# Only used filters are in the statement, so that PostgreSQL plans each by its own index.
_FILTERS = {
    "state": "r.state = :state",
    LEFT_OUT: _HAS_LEFT_OUT,
    "job": "r.job = :job",
    "before": "r.id < :before",
}
OF_PROJECT = text(f"{_RUN} WHERE r.project_id = :project ORDER BY r.id DESC LIMIT 10")

# Durations come from the last twenty that ended. The job is asked for as a range, since PostgreSQL
# would otherwise walk the primary key backwards through every run of the other jobs.
LATEST = text("""
    SELECT job.job, last.id, last.period, last.state, last.finished_at, last.created_at, last.requested_by,
        last.result, last.errors, spark.seconds
    FROM unnest(CAST(:jobs AS text[])) AS job (job)
    LEFT JOIN LATERAL (
        SELECT * FROM job_runs r WHERE r.job >= job.job AND r.job <= job.job
            AND NOT r.dry_run
        ORDER BY r.job DESC, r.id DESC LIMIT 1
    ) last ON true
    LEFT JOIN LATERAL (
        SELECT array_agg(seconds ORDER BY id) AS seconds FROM (
            SELECT id, extract(epoch FROM finished_at - started_at)::float AS seconds FROM job_runs r
            WHERE r.job >= job.job AND r.job <= job.job AND NOT r.dry_run
                AND finished_at IS NOT NULL AND started_at IS NOT NULL
            ORDER BY r.job DESC, r.id DESC LIMIT 20) recent
    ) spark ON true
    ORDER BY array_position(CAST(:jobs AS text[]), job.job)""")

UNMENDED = text(f"""{_RUN} WHERE r.state IN ('failed', 'dead') AND r.finished_at > :since AND NOT r.dry_run
    AND NOT EXISTS (
        SELECT FROM job_runs later WHERE later.job = r.job AND later.id > r.id
        AND later.period = r.period AND later.state = 'succeeded' AND NOT later.dry_run
        AND coalesce(later.project_id, 0) = coalesce(r.project_id, 0))
    AND NOT (r.state = 'dead' AND r.job <> 'reconcile' AND EXISTS (SELECT FROM job_runs l WHERE {MENDED}))
    ORDER BY r.id DESC LIMIT 100""")


def active(connection: Connection) -> list[Row]:
    """Return queued and running runs, oldest first."""
    return every(connection, ACTIVE)


def find(connection: Connection, run: int) -> Row | None:
    """Return one run; None when there is none of that id."""
    return next(iter(every(connection, ONE, id=run)), None)


def history(
    connection: Connection,
    state: str | None = None,
    job: str | None = None,
    before: int | None = None,
    most: int = 50,
    previews: bool = True,
) -> list[Row]:
    """Return runs newest first, of that state and job (None: any), with an id under `before`."""
    filters = {"state": state, "job": job, "before": before}
    used = {name: value for name, value in filters.items() if value is not None}
    names = [LEFT_OUT if used[name] == LEFT_OUT else name for name in used]
    visible = "true" if previews else "NOT r.dry_run"
    where = " AND ".join([visible, *(_FILTERS[name] for name in names)])
    query = text(f"{_RUN} WHERE {where} ORDER BY r.id DESC LIMIT :most")
    return every(connection, query, most=most, **used)


def of_project(connection: Connection, project_id: int) -> list[Row]:
    """Return the last runs that were requested for that project alone."""
    return every(connection, OF_PROJECT, project=project_id)


def latest(connection: Connection, jobs: Sequence[str]) -> list[Row]:
    """Return the last run of each job, with the durations of its last twenty in seconds."""
    return every(connection, LATEST, jobs=list(jobs))


def unmended(connection: Connection, since: datetime) -> list[Row]:
    """Return runs that failed after `since` without a later success of the same job and period."""
    return every(connection, UNMENDED, since=since)
