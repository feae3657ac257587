"""Adjustments: corrections that were posted, and posting one."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from api import answers, cursors, pages
from api.access import Access, visible, write
from api.pages import Rows
from api.parameters import DATE, PAGE, Cursor, Id, Limit, OfProject, OptionalMonth, Whole
from api.problems import Problem
from api.requests import ApiRoute
from api.schemas import AdjustmentShape, listing
from metering.approvals import approvals
from metering.catalogue import projects
from metering.catalogue.periods import Day, Month
from metering.db import clock
from metering.months import adjustments
from metering.months.adjustment import Adjustment

router = APIRouter(tags=["Adjustments"], route_class=ApiRoute)
NAMES = (
    *("id", "project_id", "kind", "meter", "quantity", "amount", "currency", "usage_date", "posted_month"),
    *("reverses", "reason", "actor", "created_at"),
)
_COLUMNS = """id, project_id, kind, meter, quantity, amount, currency, usage_date,
    to_char(posted_month, 'YYYY-MM') AS posted_month, reverses, reason,
    fleetmeter_staff(actor) AS actor, created_at"""
LIST = text(f"""
    SELECT {_COLUMNS} FROM adjustments
    WHERE id > :after AND (CAST(:project AS bigint) IS NULL OR project_id = :project)
        AND (CAST(:first AS date) IS NULL OR posted_month = :first)
    ORDER BY id LIMIT :most""")
ONE = text(f"SELECT {_COLUMNS} FROM adjustments WHERE project_id = :project AND id = :id")


class NewAdjustment(BaseModel):
    """A correction to post: a meter with a quantity, or an amount of money, or what it reverses."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "anyOf": [{"required": ["usage_date"]}, {"required": ["reverses"]}],
            "examples": [
                {
                    "project_id": 42,
                    "meter": "api_calls",
                    "quantity": -120,
                    "usage_date": "2026-11-20",
                    "reason": "calls of our own monitoring",
                }
            ],
        },
    )

    project_id: Id
    reason: Annotated[str, Field(min_length=1, max_length=2_000)]
    usage_date: Annotated[
        str | None,
        Field(pattern=DATE, description="The day that it is about.", json_schema_extra={"format": "date"}),
    ] = None
    meter: Annotated[str | None, Field(max_length=100, description="A counter, with `quantity`.")] = None
    quantity: Annotated[Whole, Field(ge=-(2**62), le=2**62)] | None = None
    amount: Annotated[
        str | None, Field(pattern=r"^-?[0-9]{1,15}(?:\.[0-9]{1,6})?$", description="Money, as text.")
    ] = None
    reverses: Annotated[Id | None, Field(description="Post the opposite of this one.")] = None
    kind: Literal["correction", "late_usage"] = "correction"


@router.get("/adjustments", response_model=listing(AdjustmentShape), summary="Corrections")
def posted(
    request: Request,
    project_id: OfProject = None,
    month: OptionalMonth = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Return the corrections in the order in which they were posted; `month` is the one that bills them."""
    key = cursors.decode(request, cursor, cursors.number) or [0]
    filters = {"after": key[0], "project": project_id}
    filters["first"] = None if month is None else Month.parse(month).first.date

    def rows(access: Access, most: int) -> Rows:
        if project_id is not None:
            projects.require(access.connection, project_id)
        return [dict(row) for row in access.connection.execute(LIST, filters | {"most": most}).mappings()]

    return pages.answer(request, rows, limit, lambda row: [row["id"]], NAMES)


@router.post(
    "/adjustments",
    status_code=201,
    response_model=AdjustmentShape,
    summary="Post a correction",
)
def post(request: Request, body: NewAdjustment) -> Response:
    """Post a correction into the running month, or take one back. Takes the role admin of the platform."""

    def effect(access: Access) -> Response:
        if access.caller.organization_id is not None:
            raise Problem(403, "corrections are posted by the platform, not by an organization's token")
        visible(access, lambda: projects.require(access.connection, body.project_id))
        approvals.refuse(access.server.settings, "adjustment")
        identity = _post(access, body)
        row = access.connection.execute(ONE, {"project": body.project_id, "id": identity}).mappings().one()
        return answers.created(201, dict(row))

    return write(request, effect, "admin")


def _post(access: Access, body: NewAdjustment) -> int:
    connection, plans = access.connection, access.server.plans
    clock.require(connection, access.at, access.server.settings.clock_tolerance)
    actor = access.caller.name
    if body.reverses is not None:
        _refuse_other_fields(body)
        opposite = (body.project_id, body.reverses, body.reason, actor, plans, access.at)
        return adjustments.reverse(connection, *opposite)
    if body.usage_date is None:
        raise Problem(422, "a correction takes `usage_date`, the day that it is about", "adjustment-refused")
    about = Day.parse(body.usage_date).date
    money = None if body.amount is None else Decimal(body.amount)
    adjustment = Adjustment(
        body.project_id, body.meter, body.quantity, money, about, body.reason, actor, kind=body.kind
    )
    return adjustments.post(connection, adjustment, plans, access.at)


def _refuse_other_fields(body: NewAdjustment) -> None:
    fields: dict[str, Any] = body.model_dump(include={"usage_date", "meter", "quantity", "amount"})
    if any(value is not None for value in fields.values()):
        raise Problem(422, "`reverses` posts the opposite of that one; it takes a reason only")
