"""Projects: which exist, from when to when each is metered, and their mutexes.

A project is metered from the UTC day of its creation to the UTC day on which it was last on, without the
days on which it was off from beginning to end (`history`).
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.month_sql import after_month
from metering.catalogue.periods import Month, utc
from metering.errors import UnknownProject

# Of `projects p`, midnights in UTC: the first day that is metered, and the day after the last one. A
# project that is off and was not read since counts as off from its own date, and without one as on.
METERED_FROM = "date_trunc('day', p.created_at, 'UTC')"
METERED_UNTIL = """CASE WHEN p.is_active THEN timestamptz 'infinity' ELSE coalesce(
    (SELECT x.off_from::timestamp AT TIME ZONE 'UTC' FROM project_pauses x
        WHERE x.project_id = p.id AND x.ends_at IS NULL),
    date_trunc('day', p.deactivated_at + interval '1 day' - interval '1 microsecond', 'UTC'),
    'infinity') END"""

INSTALLED_AT = "(SELECT min(at) FROM audit_log WHERE action = 'install')"
INSTALLED_MONTH = f"date_trunc('month', {INSTALLED_AT}, 'UTC')"
INSTALLED_FIRST = f"({INSTALLED_MONTH} AT TIME ZONE 'UTC')::date"  # the first day of that month

# Whether project `{project}`'s month with the first day `{month}` is to be billed: months before the
# installation are history, unless somebody asked for their bills.
IS_BILLED = f"""({{month}} >= coalesce({INSTALLED_FIRST}, '-infinity')
    OR EXISTS (SELECT FROM history_to_bill b WHERE b.project_id = {{project}} AND b.month = {{month}}))"""

# The first day after the last month of which project `{project}` has a bill; NULL where it has none.
BILLED_UNTIL = f"""(SELECT {after_month("m")} FROM monthly_stats m
    WHERE m.project_id = {{project}} ORDER BY m.year DESC, m.month DESC LIMIT 1)"""

# The first month that is billed without being asked for: the installation's, however late the first run is.
_FIRST_MONTH = f"least(CAST(:month_start AS timestamptz), {INSTALLED_MONTH})"

# The hour from which a project that was never counted before is open: its creation. One that is older
# than this installation starts with the installation's month, whose rows the first refresh counts.
# One that ended before that month has no open hour any more: its days are counted as a backfill's.
FIRST_OPEN = f"""CASE WHEN {METERED_UNTIL} <= {_FIRST_MONTH} THEN :month_start
    ELSE greatest({METERED_FROM}, CASE WHEN p.created_at >= {INSTALLED_AT} THEN NULL
        ELSE {_FIRST_MONTH} END) END"""


def ids(connection: Connection, project_id: int | None = None) -> list[int]:
    """Return the ids of all projects, or of `project_id` alone, in order.

    Raises UnknownProject when the platform does not have `project_id`.
    """
    if project_id is not None:
        return [require(connection, project_id)]
    return list(
        connection.execute(text(f"SELECT id FROM {platform.PROJECTS} projects ORDER BY id")).scalars()
    )


def require(connection: Connection, project_id: int, visible: str = platform.PROJECTS) -> int:
    """Return `project_id` if it is one of the `visible` projects. Raises UnknownProject."""
    query = text(f"SELECT id FROM {visible} p WHERE id = :id")
    if not 0 < project_id < 2**63 or not connection.scalar(query, {"id": project_id}):
        raise UnknownProject(f"there is no project {project_id}; see the platform's projects table")
    return project_id


def is_metered(connection: Connection, project_id: int, at: datetime) -> bool:
    """Return whether usage of the project at `at` is counted for it."""
    query = text(f"SELECT {METERED_UNTIL} > :at FROM {platform.PROJECTS} p WHERE p.id = :id")
    return bool(connection.scalar(query, {"id": project_id, "at": at}))


def ensure(
    connection: Connection, project_ids: Sequence[int], at: datetime, since: datetime | None = None
) -> None:
    """Create the missing `project_stats` rows of projects that were created by `at`.

    Projects that ended before the month of the installation, or of `at` if that is earlier, are left out;
    for a backfill those that ended before `since`.
    """
    month_start = Month.of(utc(at)).start
    connection.execute(
        text(f"""
            INSERT INTO project_stats (project_id, open_from, updated_at)
            SELECT p.id, {FIRST_OPEN}, :at FROM {platform.PROJECTS} p
            WHERE p.id = ANY(:ids) AND p.created_at <= :at
                AND {METERED_UNTIL} > coalesce(CAST(:since AS timestamptz), {_FIRST_MONTH})
            ORDER BY p.id
            ON CONFLICT (project_id) DO NOTHING"""),
        {"ids": list(project_ids), "at": at, "month_start": month_start, "since": since},
    )


def lock(connection: Connection, project_ids: Sequence[int]) -> None:
    """Lock the projects' rows in the order of their ids: rule 12 of docs/architecture.md.

    Statements after this one see every flush.
    """
    connection.execute(
        text("""
            SELECT project_id FROM project_stats WHERE project_id = ANY(:ids)
            ORDER BY project_id FOR NO KEY UPDATE"""),
        {"ids": list(project_ids)},
    )
