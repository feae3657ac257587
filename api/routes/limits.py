"""Limits: what is used, included and left, and whether more is allowed."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from api import answers, context
from api.access import Access, read
from api.parameters import LARGEST_ID, OrganizationId, ProjectId
from api.problems import Problem
from api.quick import Query as Quick
from api.requests import ApiRoute
from api.schemas import CheckShape, LimitShape, listing
from metering.catalogue import own_meters, platform, projects
from metering.errors import UnknownProject
from metering.running import checks
from metering.running.checks import Check

router = APIRouter(tags=["Limits"], route_class=ApiRoute)
NAMES = ("meter", "used", "included", "remaining", "hard", "allowed", "why")
QUERIES = {meter: Quick(checks.sql((meter,)), "tier") for meter in checks.OF_PROJECT.values()}
CHECKS = (*checks.OF_ORGANIZATION, *checks.OF_PROJECT)


@router.get("/projects/{project_id}/limits", response_model=listing(LimitShape), summary="A project's limits")
def of_project(request: Request, project_id: ProjectId) -> Response:
    """Return every meter of the project in the running month, and whether one more is allowed."""

    def rows(access: Access) -> list[Check]:
        return checks.of_project(access.connection, access.server.plans, project_id, access.at)

    return answers.page(request, [_fields(check) for check in read(request, rows)], None, NAMES)


@router.get(
    "/organizations/{organization_id}/limits",
    response_model=listing(LimitShape),
    summary="An organization's limits",
)
def of_organization(request: Request, organization_id: OrganizationId) -> Response:
    """Return the projects and users of the organization, and whether one more is allowed."""

    def rows(access: Access) -> list[Check]:
        return checks.of_organization(access.connection, access.server.plans, organization_id, access.at)

    return answers.page(request, [_fields(check) for check in read(request, rows)], None, NAMES)


@router.get("/limits/check", response_model=CheckShape, summary="May it use more?")
def check(
    request: Request,
    check: Annotated[
        str,
        Query(
            pattern=f"^{own_meters.NAME.pattern}$",
            description=f"What is asked for: {', '.join(CHECKS)}, or a meter of the platform's own.",
            examples=["storage"],
        ),
    ],
    project: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="The project.")] = None,
    organization: Annotated[
        int | None, Query(ge=1, le=LARGEST_ID, description="For `project` and `user`: or a project of it.")
    ] = None,
    bytes: Annotated[int | None, Query(ge=0, le=LARGEST_ID, description="For `storage`: how much.")] = None,
    count: Annotated[
        int | None, Query(ge=0, le=10**9, description="For the others: how many; 1 by default.")
    ] = None,
) -> Response:
    """Return whether that much more is allowed, and why."""
    amount = _amount(check, bytes, count)
    if check in checks.OF_PROJECT and organization is None:
        subject = _required(project, "project", check)
        return answers.one(request, {"check": check} | _fields(_of_meter(request, check, subject, amount)))

    def body(access: Access) -> Check:
        _refuse_foreign(access, project, organization)
        if check in checks.OF_ORGANIZATION:
            return _of_organization(access, check, project, organization, amount)
        return _of_project(access, check, _required(project, "project", check), amount)

    return answers.one(request, {"check": check} | _fields(read(request, body)))


def _amount(check: str, size: int | None, count: int | None) -> int:
    """Return how much more is asked for. Raises Problem 422 for a parameter that the check does not take."""
    parameter, value = ("count", count) if check == "storage" else ("bytes", size)
    if value is not None:
        takes = "bytes" if check == "storage" else "count"
        raise Problem(422, f"the check {check} takes `{takes}`, not `{parameter}`")
    amount = size if check == "storage" else count
    return 1 if amount is None else amount


def _refuse_foreign(access: Access, project: int | None, organization: int | None) -> None:
    """Raise UnknownProject for a project that is not the organization's."""
    if project is not None and organization is not None and _owner(access, project) != organization:
        raise UnknownProject(f"organization {organization} has no project {project}")


def _of_organization(
    access: Access, check: str, project: int | None, organization: int | None, amount: int
) -> Check:
    owner = _owner(access, project) if organization is None else organization
    subject = _required(owner, "organization", check)
    both = checks.of_organization(access.connection, access.server.plans, subject, access.at, amount)
    return next(one for one in both if one.meter == checks.OF_ORGANIZATION[check])


def _of_project(access: Access, check: str, project: int, amount: int) -> Check:
    meter = checks.OF_PROJECT.get(check, check)
    if check not in checks.OF_PROJECT and check not in own_meters.by_name(access.connection):
        takes = f"{', '.join(CHECKS)} or a meter of the platform's own"
        raise Problem(422, f"there is no check {check}; it is one of {takes}")
    plans, at = access.server.plans, access.at
    return checks.of_project(access.connection, plans, project, at, (meter,), amount)[0]


def _of_meter(request: Request, check: str, project_id: int, amount: int) -> Check:
    meter, server = checks.OF_PROJECT[check], context.of(request)
    if checks.is_prorated(server.plans, server.now()):

        def rows(access: Access) -> list[Check]:
            plans = access.server.plans
            return checks.of_project(access.connection, plans, project_id, access.at, (meter,), amount)

        return read(request, rows)[0]
    measured = QUERIES[meter].read(request, checks.bounds(project_id, server.now()))
    return checks.answer(measured.row, server.plans, project_id, measured.at, (meter,), amount)[0]


def _owner(access: Access, project_id: int | None) -> int | None:
    if project_id is None:
        return None
    query = text(f"SELECT organization_id FROM {platform.PROJECTS} p WHERE id = :id")
    projects.require(access.connection, project_id)
    owner: int | None = access.connection.scalar(query, {"id": project_id})
    return owner


def _required(value: int | None, name: str, check: str) -> int:
    if value is None:
        raise Problem(422, f"the check {check} takes `{name}`")
    return value


def _fields(check: Check) -> dict[str, Any]:
    limit = check.limit
    return {
        "meter": check.meter,
        "used": limit.used,
        "included": limit.limit,
        "remaining": limit.remaining,
        "hard": check.hard,
        "allowed": limit.allowed,
        "why": limit.reason,
    }
