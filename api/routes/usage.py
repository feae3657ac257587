"""Usage in: events that report what projects used, each counted once."""

from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api import cloud_events, context
from api.access import Access, write
from api.requests import ApiRoute
from api.schemas import Shape
from metering.approvals import approvals
from metering.events.receive import MOST_EVENTS, receive
from metering.events.reported_project import Sender

router = APIRouter(tags=["Usage"], route_class=ApiRoute)


class RefusedEvent(Shape):
    """An event that was not counted."""

    id: str | None = Field(description="The event's `id`; null where it is no text.")
    reason: str = Field(description="A fixed code, such as `too_late` or `unknown_project`.")
    detail: str = Field(description="What is wrong, and what to do.")


class Receipt(Shape):
    """The results of the events of a request."""

    accepted: int = Field(description="Events counted by this request.")
    duplicates: int = Field(description="Events that were counted before, by their `source` and `id`.")
    refused: list[RefusedEvent] = Field(description="Events that were not counted, in the order sent.")


EXAMPLE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "query-81723",
    "source": "urn:example:query-engine",
    "type": "query_seconds",
    "subject": "42",
    "time": "2026-11-27T10:05:00Z",
    "data": {"quantity": 12},
}
ANY_EVENT: dict[str, Any] = {"type": "object", "additionalProperties": True}
BODY: dict[str, Any] = {
    "required": True,
    "content": {
        cloud_events.EVENT: {"schema": ANY_EVENT, "example": EXAMPLE},
        cloud_events.BATCH: {
            "schema": {"type": "array", "items": ANY_EVENT, "maxItems": MOST_EVENTS},
            "example": [EXAMPLE],
        },
        cloud_events.JSON: {
            "schema": {"anyOf": [ANY_EVENT, {"type": "array", "items": ANY_EVENT, "maxItems": MOST_EVENTS}]},
            "examples": {
                "one event": {"value": EXAMPLE},
                "binary mode, the event's `data`": {"value": EXAMPLE["data"]},
            },
        },
    },
}
HEADERS: list[dict[str, Any]] = [
    {
        "name": cloud_events.PREFIX + name,
        "in": "header",
        "required": False,
        "description": f"Binary mode: the event's `{name}`, percent-encoded beyond printable ASCII.",
        "schema": {"type": "string"},
    }
    for name in cloud_events.ATTRIBUTES
]


@router.post(
    "/usage",
    response_model=Receipt,
    summary="Report usage",
    openapi_extra={"requestBody": BODY, "parameters": HEADERS},
)
def usage(
    request: Request,
    late: Literal["refuse", "adjust"] = Query("refuse", description="Usage of days that are sealed."),
) -> Response:
    """Count events of CloudEvents 1.0: one, a batch, or one in binary mode. Takes the role operator.

    `type` is a meter, `subject` a project, `data.quantity` an integer. An event counts once for its `source`
    and `id`, whatever else it holds, for 35 days.
    """
    events = cloud_events.events(request.headers, request.state.body)
    own = context.of(request).own_meters  # before the transaction: it may take a connection of its own

    def effect(access: Access) -> Response:
        if late == "adjust":
            approvals.refuse(access.server.settings, "adjustment")
        caller, tolerance = access.caller, access.server.settings.clock_tolerance
        sender = Sender(caller.organization_id, caller.name)
        receipt = receive(access.connection, events, own, sender, access.at, tolerance, late == "adjust")
        return JSONResponse(asdict(receipt))

    return write(request, effect, "operator")
