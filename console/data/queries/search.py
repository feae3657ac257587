"""A search over everything that has a page: projects, customers, months, runs, alerts."""

from sqlalchemy import Connection, text

from console.data.queries.rows import Row, every
from metering.catalogue import platform
from metering.catalogue.month_sql import first_of_month
from metering.db import patterns

PROJECTS = text(f"""
    SELECT p.id, p.name, o.name AS organization, p.is_active FROM {platform.PROJECTS} p
    JOIN {platform.ORGANIZATIONS} o ON o.id = p.organization_id
    WHERE p.id = :id OR p.name ILIKE :pattern OR o.name ILIKE :pattern
    ORDER BY p.id = :id DESC, p.is_active DESC, p.id LIMIT :most""")
ORGANIZATIONS = text(f"""
    SELECT id, name, tier FROM {platform.ORGANIZATIONS} o WHERE id = :id OR name ILIKE :pattern
    ORDER BY id = :id DESC, id LIMIT :most""")
# A month is found by its number, as 2026-10, or by its name, as October.
MONTHS = text(f"""
    SELECT month, bills FROM (
        SELECT {first_of_month()} AS first, to_char({first_of_month()}, 'YYYY-MM') AS month,
            count(*) AS bills FROM monthly_stats GROUP BY year, month) months
    WHERE month LIKE :pattern OR to_char(first, 'FMMonth YYYY') ILIKE :pattern
    ORDER BY month DESC LIMIT :most""")
RUNS = text("""
    SELECT id, job, period, state, dry_run, result, errors, created_at FROM job_runs
    WHERE id = :id OR period LIKE :pattern OR job ILIKE :pattern
    ORDER BY id = :id DESC, id DESC LIMIT :most""")
ALERTS = text(f"""
    SELECT a.id, a.kind, a.subject, a.severity, a.project_id, p.name AS project, a.opened_at
    FROM alerts a LEFT JOIN {platform.PROJECTS} p ON p.id = a.project_id
    WHERE a.resolved_at IS NULL AND (a.subject ILIKE :pattern OR p.name ILIKE :pattern
        OR replace(a.kind, '_', ' ') ILIKE :pattern)
    ORDER BY a.severity, a.id DESC LIMIT :most""")
SUBJECTS = {
    "projects": PROJECTS,
    "customers": ORGANIZATIONS,
    "months": MONTHS,
    "runs": RUNS,
    "alerts": ALERTS,
}


def find(connection: Connection, words: str, most: int = 20) -> dict[str, list[Row]]:
    """Return the rows that match `words` by subject, at most `most` of each; nothing for no words.

    Words are matched literally: a percent sign is a percent sign. Rows out of scope are not found.
    """
    if not words.strip():
        return {}
    parameters = {"id": patterns.identifier(words), "pattern": patterns.containing(words), "most": most}
    return {subject: every(connection, query, **parameters) for subject, query in SUBJECTS.items()}
