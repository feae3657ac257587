"""Owners that the platform has deleted before a day of theirs was sealed: the day refers to them."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.history import OWNER_AT
from metering.catalogue.periods import Day
from metering.catalogue.projects import METERED_UNTIL
from metering.errors import UnknownOrganization

# Of the open days until `:end`.
_OF_OPEN_DAYS = text(f"""
    SELECT w.project_id, w.organization_id,
        date_trunc('day', least(CAST(:end AS timestamptz), w.owned_until), 'UTC')::date - 1 AS date
    FROM project_owners w JOIN project_stats s USING (project_id)
    JOIN {platform.PROJECTS} p ON p.id = s.project_id
    WHERE w.project_id = ANY(:ids) AND date_trunc('day',
            least(CAST(:end AS timestamptz), w.owned_until), 'UTC') > greatest(w.owned_from, s.open_from)
        AND {METERED_UNTIL} > greatest(w.owned_from, s.open_from)
        AND NOT EXISTS (SELECT FROM {platform.ORGANIZATIONS} o WHERE o.id = w.organization_id)
    ORDER BY w.project_id, w.read_from LIMIT 1""")

_OF_DAY = text(f"""
    SELECT p.id AS project_id, owner.id AS organization_id, CAST(:date AS date) AS date
    FROM {platform.PROJECTS} p CROSS JOIN LATERAL (SELECT {OWNER_AT.format(end=":end")} AS id) owner
    WHERE p.id = ANY(:ids) AND NOT EXISTS (SELECT FROM {platform.ORGANIZATIONS} o WHERE o.id = owner.id)""")


def refuse_open_days(connection: Connection, last: Day, project_ids: Sequence[int]) -> None:
    """Refuse to seal open days up to `last` of a deleted owner. Raises UnknownOrganization."""
    row = connection.execute(_OF_OPEN_DAYS, {"ids": list(project_ids), "end": last.end}).first()
    if row is not None:
        raise UnknownOrganization(_sentence(*row))


def of_day(connection: Connection, day: Day, project_ids: Sequence[int]) -> dict[int, str]:
    """Return why `day` cannot be sealed for those of the projects whose owner on it was deleted."""
    parameters = {"ids": list(project_ids), "date": day.date, "end": day.end}
    return {row.project_id: _sentence(*row) for row in connection.execute(_OF_DAY, parameters)}


def _sentence(project_id: int, organization_id: int, date: object) -> str:
    return (
        f"project {project_id} belonged on {date} to organization {organization_id}, which "
        "the platform has deleted before that day was sealed, so that it cannot be billed; insert a row "
        "of that id into organizations again"
    )
