"""The details of one run: its instants, the days it sealed, the alerts about it."""

from sqlalchemy import Connection, text

from console.data.queries.rows import Row, every, one
from metering.catalogue import platform

TIMES = text("""
    SELECT at, attempt, next_attempt_at, worker, heartbeat_at, arguments FROM job_runs WHERE id = :id""")
# Sealed while it ran; another run of those minutes may have sealed some of them.
DAYS = text(f"""
    SELECT d.project_id, p.name AS project, min(d.date) AS first, max(d.date) AS last, count(*) AS days
    FROM job_runs r JOIN daily_stats d ON d.created_at >= r.started_at
        AND d.created_at <= coalesce(r.finished_at, now())
        AND (r.project_id IS NULL OR d.project_id = r.project_id)
        AND d.date >= (r.started_at AT TIME ZONE 'UTC')::date - 800
    LEFT JOIN {platform.PROJECTS} p ON p.id = d.project_id
    WHERE r.id = :id AND NOT r.dry_run AND r.job IN ('daily', 'backfill', 'monthly')
    GROUP BY d.project_id, p.name ORDER BY d.project_id LIMIT 200""")
ALERTS = text(f"""
    SELECT a.id, a.kind, a.severity, a.subject, a.project_id, p.name AS project, a.opened_at, a.resolved_at
    FROM alerts a LEFT JOIN {platform.PROJECTS} p ON p.id = a.project_id
    WHERE a.detail->>'run' = CAST(:id AS text) ORDER BY a.id DESC LIMIT 50""")
ACTIONS = text("""
    SELECT at, actor, action FROM audit_log
    WHERE subject = 'run ' || :id OR (after->>'run' = CAST(:id AS text) AND action IN ('request', 'preview'))
    ORDER BY at LIMIT 50""")


def times(connection: Connection, run: int) -> Row:
    """Return the attempt, its worker, its arguments, and the instants of a run that exists."""
    return one(connection, TIMES, id=run)


def days(connection: Connection, run: int) -> list[Row]:
    """Return the days that were sealed while it ran, by project."""
    return every(connection, DAYS, id=run)


def alerts(connection: Connection, run: int) -> list[Row]:
    """Return the alerts that name this run."""
    return every(connection, ALERTS, id=run)


def actions(connection: Connection, run: int) -> list[Row]:
    """Return the actions of people on the run, oldest first."""
    return every(connection, ACTIONS, id=str(run))
