"""The busiest devices of a project's day."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import answers
from api.access import Access, read
from api.parameters import OnDay, ProjectId
from api.requests import ApiRoute
from api.schemas import listing
from api.usage_schemas import DeviceShape
from metering.catalogue import projects
from metering.catalogue.periods import Day
from metering.ledger import devices
from metering.ledger.mqtt import MQTT_COUNTERS

router = APIRouter(tags=["Usage"], route_class=ApiRoute)
NAMES = ("device", *MQTT_COUNTERS, "error")


@router.get(
    "/projects/{project_id}/devices",
    response_model=listing(DeviceShape, {"rest": (dict[str, int], ...), "date": (str, ...)}),
    summary="The busiest devices",
)
def busiest(request: Request, project_id: ProjectId, date: OnDay = None) -> Response:
    """Return the busiest devices of a day, the busiest first; `rest` is what no listed device has."""

    def body(access: Access) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        projects.require(access.connection, project_id)
        day = Day.parse(date) if date else Day.of(access.at).previous()
        usage = devices.of_days(access.connection, project_id, day.date, day.date)
        return [vars(device) for device in usage.devices], {"rest": usage.rest, "date": str(day)}

    items, more = read(request, body)
    return answers.page(request, items, None, NAMES, more)
