"""Projects: the list, and one with its live counters, gauges and their age."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Query
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from api import answers, cursors
from api.access import Access, read
from api.parameters import PAGE, Cursor, Limit, OfOrganization, ProjectId
from api.quick import Query as Quick
from api.requests import ApiRoute
from api.schemas import listing
from api.usage_schemas import LiveProjectShape, ProjectShape
from metering.catalogue import platform, unknowns
from metering.catalogue.meters import COUNTER_NAMES, GAUGES
from metering.catalogue.sources import SOURCE_NAMES
from metering.errors import UnknownProject

router = APIRouter(tags=["Projects"], route_class=ApiRoute)
NAMES = ("id", "name", "organization_id", "tier", "is_active")

_COLUMNS = "p.id, p.name, p.organization_id, o.tier, p.is_active"
_FROM = f"{platform.PROJECTS} p JOIN {platform.ORGANIZATIONS} o ON o.id = p.organization_id"
_LIVE = ", ".join(
    [
        *("s.project_id", "s.meters", "s.lifetime_meters", "s.open_from", "s.updated_at"),
        *(f"s.{name}, s.lifetime_{name}" for name in COUNTER_NAMES),
        *(f"s.{gauge.live}" for gauge in GAUGES),
        *(f"s.{source}_measured_at" for source in SOURCE_NAMES),
    ]
)
LIST = text(f"""
    SELECT {_COLUMNS} FROM {_FROM}
    WHERE p.id > :after AND (CAST(:organization AS bigint) IS NULL OR p.organization_id = :organization)
        AND (CAST(:is_active AS boolean) IS NULL OR p.is_active = :is_active)
    ORDER BY p.id LIMIT :most""")
ONE = Quick(
    f"""SELECT {_COLUMNS}, {_LIVE} FROM {_FROM} LEFT JOIN project_stats s ON s.project_id = p.id
        WHERE p.id = :id""",
    key="id",
)


@router.get("/projects", response_model=listing(ProjectShape), summary="List the projects")
def projects(
    request: Request,
    organization_id: OfOrganization = None,
    is_active: bool | None = Query(None, description="Those that are on, or off."),
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Return the projects in the order of their ids."""
    after = cursors.decode(request, cursor, cursors.number) or [0]
    filters = {"after": after[0], "organization": organization_id, "is_active": is_active}

    def rows(access: Access) -> list[dict[str, Any]]:
        if organization_id is not None:
            platform.require_organization(access.connection, organization_id)
        parameters = filters | {"most": limit + 1}
        return [dict(row) for row in access.connection.execute(LIST, parameters).mappings()]

    items = read(request, rows)
    following = cursors.encode(request, [items[limit - 1]["id"]]) if len(items) > limit else None
    return answers.page(request, items[:limit], following, NAMES)


@router.get("/projects/{project_id}", response_model=LiveProjectShape, summary="One project, live")
def project(request: Request, project_id: ProjectId) -> Response:
    """Return a project with the counters of the months that are not closed, and its newest gauges."""
    row, at = ONE.read(request, {"id": project_id})
    if row is None:
        raise UnknownProject(f"there is no project {project_id}")
    body = live(row, at)
    return answers.dated(answers.one(request, body, aside=("age_seconds",)), body["updated_at"])


def live(row: dict[str, Any], at: datetime) -> dict[str, Any]:
    """Return a project's row of `project_stats` as the API shows it at `at`; unknown is None."""
    live_row = unknowns.live(row) if row["project_id"] is not None else row
    measured = {source: row[f"{source}_measured_at"] for source in SOURCE_NAMES}
    ages = {
        source: None if then is None else round((at - then).total_seconds(), 3)
        for source, then in measured.items()
    }
    return (
        {name: row[name] for name in NAMES}
        | {name: live_row[name] for name in COUNTER_NAMES}
        | {gauge.name: row[gauge.live] for gauge in GAUGES}
        | {"meters": row["meters"] or {}, "open_from": row["open_from"], "updated_at": row["updated_at"]}
        | {"lifetime": {name: live_row[f"lifetime_{name}"] for name in COUNTER_NAMES}}
        | {"lifetime_meters": row["lifetime_meters"] or {}}
        | {"measured_at": measured, "age_seconds": ages}
    )
