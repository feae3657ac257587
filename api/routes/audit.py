"""The audit log: who did what to what, before and after."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import cursors, pages, parameters
from api.access import Access
from api.pages import Rows
from api.parameters import PAGE, Cursor, FromDay, Limit, ToDay
from api.requests import ApiRoute
from api.schemas import AuditShape, listing
from metering.catalogue.periods import Day
from metering.db import audit_log
from metering.db.audit_log import Filter

router = APIRouter(tags=["Audit"], route_class=ApiRoute)
NAMES = ("id", "at", "actor", "action", "subject", "before", "after", "reason")
Part = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")]


@router.get("/audit", response_model=listing(AuditShape), summary="Who did what")
def audit(
    request: Request,
    first: FromDay = None,
    last: ToDay = None,
    actor: Part = "",
    action: Part = "",
    subject: Part = "",
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Return the entries of a range of days, newest first; a token of an organization sees its own."""
    key = cursors.decode(request, cursor, cursors.number)

    def rows(access: Access, most: int) -> Rows:
        start, end = parameters.days(first, last, Day.of(access.at))
        matching = Filter(start.start, end.end, actor, action, subject)
        entries = audit_log.entries(access.connection, matching, most, key[0] if key else None)
        return [asdict(entry) for entry in entries]

    return pages.answer(request, rows, limit, lambda row: [row["id"]], NAMES)
