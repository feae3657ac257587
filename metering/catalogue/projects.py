"""Which projects are metered and when: from creation to the UTC day of deactivation, included."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.periods import Month, utc
from metering.errors import UnknownProject

# Of `projects p`. A project switched off without a date is taken as off from the start: later
# usage cannot be told from earlier usage, and what was counted already stays where it is.
METERED_FROM = "date_trunc('day', p.created_at, 'UTC')"
METERED_UNTIL = """CASE WHEN p.is_active THEN timestamptz 'infinity'
    ELSE coalesce(date_trunc('day', p.deactivated_at, 'UTC') + interval '1 day', '-infinity') END"""

INSTALLED_AT = "(SELECT min(at) FROM audit_log WHERE action = 'install')"

# The hour from which a project that was never seen before is open: its creation. One that is older
# than this installation starts with the running month, whose rows the first refresh counts.
# One that ended before this month has no open hour any more: its days are counted as a backfill's.
FIRST_OPEN = f"""CASE WHEN {METERED_UNTIL} <= :month_start THEN :month_start
    WHEN p.created_at >= {INSTALLED_AT} THEN {METERED_FROM}
    ELSE greatest({METERED_FROM}, :month_start) END"""


def ids(connection: Connection, project_id: int | None = None) -> list[int]:
    """Ids of every project the platform has, in order; or the one asked for.

    Raises UnknownProject when the platform does not have `project_id`.
    """
    if project_id is not None:
        return [require(connection, project_id)]
    return list(connection.execute(text("SELECT id FROM projects ORDER BY id")).scalars())


def require(connection: Connection, project_id: int) -> int:
    """`project_id` if the platform has it. Raises UnknownProject."""
    known = text(f"SELECT id FROM {platform.PROJECTS} p WHERE id = :id")
    if not 0 < project_id < 2**63 or not connection.scalar(known, {"id": project_id}):
        raise UnknownProject(f"there is no project {project_id}; see the platform's projects table")
    return project_id


def ensure(
    connection: Connection, project_ids: Sequence[int], at: datetime, since: datetime | None = None
) -> None:
    """Create the missing `project_stats` rows of projects that exist at `at`.

    Of those that are metered in the month of `at`; or were so at `since`, for a backfill.
    """
    month_start = Month.of(utc(at)).start
    connection.execute(
        text(f"""
            INSERT INTO project_stats (project_id, open_from, updated_at)
            SELECT p.id, {FIRST_OPEN}, :at FROM projects p
            WHERE p.id = ANY(:ids) AND p.created_at <= :at AND {METERED_UNTIL} > :since
            ORDER BY p.id
            ON CONFLICT (project_id) DO NOTHING"""),
        {"ids": list(project_ids), "at": at, "month_start": month_start, "since": since or month_start},
    )


def lock(connection: Connection, project_ids: Sequence[int]) -> None:
    """Lock the projects' rows in the order of their ids: rule 12 of docs/architecture.md.

    What is read next sees every flush.
    """
    connection.execute(
        text("""
            SELECT project_id FROM project_stats WHERE project_id = ANY(:ids)
            ORDER BY project_id FOR NO KEY UPDATE"""),
        {"ids": list(project_ids)},
    )
