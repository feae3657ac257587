"""Read runs: one, the latest ones, the last of each job, how many wait."""

from typing import Any

from sqlalchemy import Connection, text

from metering.errors import FleetmeterError

# One probe of an index for each job that ever ran. The job is asked for as a range: PostgreSQL would
# otherwise walk the primary key backwards through the runs of all the others.
LATEST = text("""
    WITH RECURSIVE names (job) AS (
        SELECT min(job) FROM job_runs
        UNION ALL SELECT (SELECT min(r.job) FROM job_runs r WHERE r.job > n.job) FROM names n
        WHERE n.job IS NOT NULL)
    SELECT last.* FROM names CROSS JOIN LATERAL (
        SELECT id, job, period, state, created_at, finished_at, result, errors FROM job_runs r
        WHERE r.job >= names.job AND r.job <= names.job AND NOT r.dry_run
        ORDER BY r.job DESC, r.id DESC LIMIT 1) last""")

LAST = text("""
    SELECT id, job, period, state, created_at, finished_at, result, errors FROM job_runs
    WHERE job = :job AND NOT dry_run ORDER BY id DESC LIMIT 1""")

WAITING = text("""
    SELECT count(*) FILTER (WHERE state = 'queued') AS queued,
        count(*) FILTER (WHERE state = 'running') AS running
    FROM job_runs WHERE state IN ('queued', 'running')""")


def get(connection: Connection, run_id: int) -> dict[str, Any]:
    """Return one run as it is now, by column. Raises FleetmeterError if there is none."""
    row = find_run(connection, run_id)
    if row is None:
        raise FleetmeterError(f"there is no run {run_id}; see: fleetmeter jobs")
    return row


def find_run(connection: Connection, run_id: int) -> dict[str, Any] | None:
    """Return one run by column, None if there is none with that id."""
    query = text("SELECT * FROM job_runs WHERE id = :id")
    row = connection.execute(query, {"id": run_id}).mappings().one_or_none()
    return None if row is None else dict(row)


def history(connection: Connection, limit: int = 50, job: str | None = None) -> list[dict[str, Any]]:
    """Return the latest runs by column, newest first."""
    query = text("""SELECT * FROM job_runs WHERE CAST(:job AS text) IS NULL OR job = :job
        ORDER BY id DESC LIMIT :limit""")
    return [dict(row) for row in connection.execute(query, {"job": job, "limit": limit}).mappings()]


def latest(connection: Connection) -> list[dict[str, Any]]:
    """Return the last run of each job that ever ran, dry runs left out."""
    return [dict(row) for row in connection.execute(LATEST).mappings()]


def last(connection: Connection, job: str) -> dict[str, Any] | None:
    """Return the last run of `job`, dry runs left out; None if it never ran."""
    row = connection.execute(LAST, {"job": job}).mappings().one_or_none()
    return None if row is None else dict(row)


def waiting(connection: Connection) -> dict[str, int]:
    """Return how many runs are `queued` and `running`."""
    return dict(connection.execute(WAITING).mappings().one())
