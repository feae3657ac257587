"""Read the platform's organizations, projects and users: only the rows of the session's scope.

The tables belong to the platform and carry no policies of ours, so that no other module names them. Each
fragment below goes into FROM or JOIN in the place of the table and reads the setting that
`metering.db.scope` sets for the caller; jobs set none and see every row.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from metering.errors import UnknownOrganization

_VISIBLE = (
    "((SELECT fleetmeter_unscoped()) IS NOT NULL OR {column} = ANY ((SELECT fleetmeter_scope())::bigint[]))"
)

# Columns by name: deploy/roles/ grants these and no others.
ORGANIZATIONS = f"(SELECT id, name, tier, created_at FROM organizations WHERE {_VISIBLE.format(column='id')})"
PROJECTS = f"""(SELECT id, organization_id, name, is_active, created_at, deactivated_at FROM projects
    WHERE {_VISIBLE.format(column="organization_id")})"""
# Those too that the caller owned before: joined to days, bills and corrections of that time.
FORMER_PROJECTS = f"""(SELECT id, organization_id, name, is_active, created_at, deactivated_at FROM projects
    WHERE {_VISIBLE.format(column="organization_id")} OR id IN (SELECT project_id FROM project_owners))"""
USERS = f"""(SELECT id, organization_id, created_at FROM users
    WHERE {_VISIBLE.format(column="organization_id")})"""

_DEVICES = text("""
    SELECT d.id, d.name, d.project_id, p.organization_id FROM devices d JOIN projects p ON p.id = d.project_id
    ORDER BY p.organization_id, d.project_id, d.id""")

_IDS = text("""
    SELECT min(id) FROM organizations WHERE name = ANY(:names) GROUP BY name HAVING count(*) = 1
    UNION SELECT id FROM organizations WHERE id = ANY(:ids) ORDER BY 1""")

_ORGANIZATION = text(f"SELECT id FROM {ORGANIZATIONS} o WHERE id = :id")


class Device(NamedTuple):
    """A device, with the project and the organization that pay for what it sends."""

    id: int
    name: str
    project_id: int
    organization_id: int


def devices(connection: Connection) -> list[Device]:
    """Return every device of every project."""
    return [Device(*row) for row in connection.execute(_DEVICES)]


def organization_ids(connection: Connection, words: Sequence[str]) -> tuple[int, ...]:
    """Return the ids of organizations by id or name; a name that several share has none."""
    ids = [int(word) for word in words if word.isascii() and word.isdigit()]
    names = [word for word in words if not (word.isascii() and word.isdigit())]
    parameters = {"names": names, "ids": [number for number in ids if number < 2**63]}
    return tuple(connection.execute(_IDS, parameters).scalars())


def require_organization(connection: Connection, organization_id: int) -> int:
    """Return `organization_id` if the platform has it and the session may see it.

    Raises UnknownOrganization.
    """
    is_in_range = 0 < organization_id < 2**63
    if not is_in_range or connection.scalar(_ORGANIZATION, {"id": organization_id}) is None:
        raise UnknownOrganization(f"there is no organization {organization_id}")
    return organization_id
