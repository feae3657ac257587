"""Names of organizations and projects, and the search for what to filter by, in PostgreSQL."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.db import patterns

Key = tuple[str, str]  # ("organization", "7"), ("project", "42"), ("tier", "pro")

_ORGANIZATIONS = text(f"SELECT id, name FROM {platform.ORGANIZATIONS} o WHERE id = ANY(:ids)")
_PROJECTS = text(f"SELECT id, name FROM {platform.PROJECTS} p WHERE id = ANY(:ids)")
_SEARCH = text(f"""
    (SELECT 'tier' AS kind, tier AS key, tier AS name FROM {platform.ORGANIZATIONS} o
        WHERE tier ILIKE :pattern GROUP BY tier ORDER BY tier LIMIT :most)
    UNION ALL (SELECT 'organization', id::text, name FROM {platform.ORGANIZATIONS} o
        WHERE id = :id OR name ILIKE :pattern ORDER BY id = :id DESC, id LIMIT :most)
    UNION ALL (SELECT 'project', id::text, name FROM {platform.PROJECTS} p
        WHERE id = :id OR name ILIKE :pattern ORDER BY id = :id DESC, is_active DESC, id LIMIT :most)""")


def organizations(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """Return the names of those organizations that the session sees, by id."""
    return {row.id: row.name or "" for row in connection.execute(_ORGANIZATIONS, {"ids": list(ids)})}


def projects(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """Return the names of those projects that the session sees, by id."""
    return {row.id: row.name or "" for row in connection.execute(_PROJECTS, {"ids": list(ids)})}


def search(connection: Connection, words: str, most: int = 20) -> list[tuple[Key, str]]:
    """Return tiers, organizations and projects whose name contains `words`, or whose id it is.

    At most `most` of each, with their names.
    """
    parameters = {"pattern": patterns.containing(words), "id": patterns.identifier(words)}
    rows = connection.execute(_SEARCH, parameters | {"most": most})
    return [((row.kind, row.key), row.name or "") for row in rows]
