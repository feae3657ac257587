"""Money: what the running month costs, and a charge down to its hours."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import answers, cursors, pages
from api.access import Access, read
from api.pages import Rows
from api.parameters import PAGE, Cursor, Limit, OfOrganization, OfProject, PathMonth, ProjectId
from api.problems import Problem
from api.requests import ApiRoute
from api.schemas import ExplanationShape, SpendShape, UnpricedShape, listing
from metering.catalogue import platform, projects
from metering.catalogue.periods import Month
from metering.errors import PeriodError
from metering.months import explain as explaining
from metering.months import explanation
from metering.running import spend

router = APIRouter(tags=["Money"], route_class=ApiRoute)
SPEND = (
    "project_id",
    "project",
    "organization_id",
    "organization",
    "tier",
    "so_far",
    "projected",
    "currency",
    "overage",
    "projected_overage",
)


@router.get(
    "/spend",
    response_model=listing(
        SpendShape,
        {"at": (datetime, ...), "assumption": (str, ...), "unpriced": (list[UnpricedShape], ...)},
    ),
    summary="The running month in money",
)
def spent(
    request: Request,
    project_id: OfProject = None,
    organization_id: OfOrganization = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Return month to date and projection of each project.

    A project whose tier is in no plan has no price: it is in `unpriced`, on every page, and in no row.
    """
    key = cursors.decode(request, cursor, cursors.number) or [0]

    def body(access: Access) -> tuple[Rows, dict[str, Any]]:
        if project_id is not None:
            projects.require(access.connection, project_id)
        if organization_id is not None:
            platform.require_organization(access.connection, organization_id)
        left_out = spend.unpriced(
            access.connection, access.server.plans, access.at, project_id, organization_id
        )
        more = {"at": access.at, "assumption": spend.ASSUMPTION, "unpriced": left_out}
        return _page(access, key[0], limit + 1, project_id, organization_id), more

    fetched, more = read(request, body)
    return pages.cut(request, fetched, limit, lambda row: [row["project_id"]], SPEND, more, aside=("at",))


def _page(access: Access, after: int, most: int, project_id: int | None, organization_id: int | None) -> Rows:
    """Return the spend of the first `most` projects with an id above `after`."""
    connection, plans, at = access.connection, access.server.plans, access.at
    if project_id is not None or organization_id is not None:
        projects = spend.by_project(connection, plans, at, project_id, organization_id)
        projects = [one for one in projects if one.project_id > after][:most]
        return [vars(one) for one in projects]
    rows: Rows = []
    last: int | None = after
    while last is not None and len(rows) < most:
        page, last = spend.page(connection, plans, at, last, most - len(rows))
        rows += [vars(one) for one in page]
    return rows


@router.get(
    "/projects/{project_id}/explain/{month}",
    response_model=ExplanationShape,
    summary="A charge down to its hours",
)
def explain(request: Request, project_id: ProjectId, month: PathMonth) -> Response:
    """Return a closed month's bill, the plans that rated it, and the days and hours that it came from."""
    period = Month.parse(month)

    def body(access: Access) -> dict[str, Any]:
        try:
            return explanation.as_json(explaining.explain(access.connection, project_id, period))
        except PeriodError as error:
            raise Problem(404, str(error), "not-closed") from error

    charge = read(request, body)
    return answers.dated(answers.one(request, charge, forms=(answers.JSON,)), charge["bill"]["created_at"])
