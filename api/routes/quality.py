"""How well days were measured, and which are missing."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from api import answers, cursors, pages, parameters
from api.access import Access, read
from api.pages import Rows
from api.parameters import PAGE, Cursor, FromDay, Limit, OfProject, PathDay, ProjectId, ToDay
from api.requests import ApiRoute
from api.schemas import listing
from api.usage_schemas import CoverageCell, MissingShape
from metering.catalogue import projects
from metering.catalogue.periods import Day
from metering.days import coverage_hours, expected_days

router = APIRouter(tags=["Quality"], route_class=ApiRoute)
MISSING = ("project_id", "project", "organization_id", "date")
CELL = ("hour", "source", "state", "detail")
SEALED = text("SELECT coverage FROM daily_stats WHERE project_id = :project AND date = :date")


@router.get("/missing", response_model=listing(MissingShape), summary="Days that are not sealed")
def missing(
    request: Request,
    project_id: OfProject = None,
    first: FromDay = None,
    last: ToDay = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Return the days that are over, expected and not sealed, by project; by default of thirty days."""
    key = cursors.decode(request, cursor, cursors.number, cursors.day)

    def rows(access: Access, most: int) -> Rows:
        start, end = parameters.days(first, last, Day.of(access.at).previous())
        if project_id is not None:
            projects.require(access.connection, project_id)
        days = expected_days.missing_days(access.connection, start, end, access.at, project_id)
        later = [day for day in days if key is None or [day.project_id, day.date] > key]
        return [asdict(day) for day in later[:most]]

    return pages.answer(request, rows, limit, lambda row: [row["project_id"], str(row["date"])], MISSING)


@router.get(
    "/projects/{project_id}/coverage/{date}",
    response_model=listing(
        CoverageCell, {"coverage": (dict[str, Any] | None, ...), "date": (str, ...), "project_id": (int, ...)}
    ),
    summary="How well a day was measured",
)
def coverage(request: Request, project_id: ProjectId, date: PathDay) -> Response:
    """Return each source in each hour of the day, and the coverage that was sealed with it, if it is."""
    day = Day.parse(date)

    def body(access: Access) -> tuple[Rows, dict[str, Any]]:
        projects.require(access.connection, project_id)
        cells = coverage_hours.hours(access.connection, project_id, day, access.at)
        sealed = access.connection.scalar(SEALED, {"project": project_id, "date": day.date})
        return [asdict(cell) for cell in cells], {"coverage": sealed}

    cells, more = read(request, body)
    return answers.page(request, cells, None, CELL, {"project_id": project_id, "date": str(day)} | more)
