"""Usage of periods: hours, days and months of a project, a day and a month of the fleet."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection, text
from starlette.requests import Request
from starlette.responses import Response

from api import cursors, pages, parameters
from api.access import Access
from api.pages import Rows
from api.parameters import (
    PAGE,
    Cursor,
    FromDay,
    FromInstant,
    Limit,
    OnDay,
    PathMonth,
    ProjectId,
    ToDay,
    ToInstant,
)
from api.requests import ApiRoute
from api.schemas import listing
from api.usage_schemas import DayShape, HourShape, MonthShape
from metering.catalogue import projects, unknowns
from metering.catalogue.meters import COUNTER_NAMES, GAUGE_NAMES
from metering.catalogue.periods import Day, Month
from metering.catalogue.unknowns import measured_columns

router = APIRouter(tags=["Usage"], route_class=ApiRoute)

METERS = (*COUNTER_NAMES, *GAUGE_NAMES)
HOUR = ("project_id", "hour", *METERS, "meters")
DAY = (
    *("project_id", "organization_id", "date", "tier", *METERS, "meters", "coverage", "row_hash"),
    *("form", "created_at"),
)
MONTH = (
    *("project_id", "organization_id", "year", "month", "tier", *COUNTER_NAMES),
    *(f"peak_{name}" for name in GAUGE_NAMES),
    *("meters", "plan_fee", "overage_charge", "adjustment_charge", "total_charge", "currency"),
    *("exceeded_limits", "days_present", "days_expected", "plan_version", "seal", "closed_by"),
    *("form", "created_at"),
)
HOURS = text(f"""
    SELECT {", ".join(HOUR)}, measured FROM usage_hourly
    WHERE project_id = :project AND hour >= :start AND hour < :end AND hour > :after
    ORDER BY hour LIMIT :most""")
_DAYS = f"SELECT {', '.join(DAY)} FROM daily_stats"
DAYS = text(f"""{_DAYS}
    WHERE project_id = :project AND date >= :first AND date <= :last AND date > :after
    ORDER BY date LIMIT :most""")
FLEET = text(f"""{_DAYS} WHERE date = :date AND project_id > :after ORDER BY project_id LIMIT :most""")
_MONTHS = f"SELECT {', '.join(MONTH)}, {measured_columns('m')} FROM monthly_stats m"
MONTHS = text(f"""{_MONTHS}
    WHERE project_id = :project AND (year, month) > (:year, :month) ORDER BY year, month LIMIT :most""")
BILLS = text(f"""{_MONTHS}
    WHERE (year, month) = (:year, :month) AND project_id > :after ORDER BY project_id LIMIT :most""")


@router.get("/projects/{project_id}/hours", response_model=listing(HourShape), summary="Hours of a project")
def hours(
    request: Request,
    project_id: ProjectId,
    first: FromInstant = None,
    last: ToInstant = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Return the hours that have usage, oldest first; the current hour still grows."""
    key = cursors.decode(request, cursor, cursors.instant)

    def rows(access: Access, most: int) -> Rows:
        projects.require(access.connection, project_id)
        start, end = parameters.instants(first, last, access.at)
        bounds = {"project": project_id, "start": start, "end": end, "most": most}
        fetched = _rows(access.connection, HOURS, bounds | {"after": key[0] if key else "-infinity"})
        return [_fields(unknowns.hour(row), HOUR) for row in fetched]

    return pages.answer(request, rows, limit, lambda row: [row["hour"].isoformat()], HOUR)


@router.get("/projects/{project_id}/days", response_model=listing(DayShape), summary="Days of a project")
def days(
    request: Request,
    project_id: ProjectId,
    first: FromDay = None,
    last: ToDay = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Return the sealed days, oldest first; a day that is not sealed is not there."""
    key = cursors.decode(request, cursor, cursors.day)

    def rows(access: Access, most: int) -> Rows:
        projects.require(access.connection, project_id)
        start, end = parameters.days(first, last, Day.of(access.at).previous())
        bounds = {"project": project_id, "first": start.date, "last": end.date, "most": most}
        fetched = _rows(access.connection, DAYS, bounds | {"after": key[0] if key else "-infinity"})
        return [_day(row) for row in fetched]

    return pages.answer(request, rows, limit, lambda row: [str(row["date"])], DAY)


@router.get("/days", response_model=listing(DayShape), summary="A day of the fleet")
def fleet(request: Request, date: OnDay = None, limit: Limit = PAGE, cursor: Cursor = None) -> Response:
    """Return the sealed day of every project, in the order of their ids."""
    key = cursors.decode(request, cursor, cursors.number)

    def rows(access: Access, most: int) -> Rows:
        day = Day.parse(date) if date else Day.of(access.at).previous()
        bounds = {"date": day.date, "after": key[0] if key else 0, "most": most}
        return [_day(row) for row in _rows(access.connection, FLEET, bounds)]

    return pages.answer(request, rows, limit, lambda row: [row["project_id"]], DAY)


@router.get(
    "/projects/{project_id}/months", response_model=listing(MonthShape), summary="Months of a project"
)
def months(request: Request, project_id: ProjectId, limit: Limit = PAGE, cursor: Cursor = None) -> Response:
    """Return the closed months, oldest first."""
    key = cursors.decode(request, cursor, cursors.number, cursors.number) or [0, 0]

    def rows(access: Access, most: int) -> Rows:
        projects.require(access.connection, project_id)
        bounds = {"project": project_id, "year": key[0], "month": key[1], "most": most}
        return [_month(row) for row in _rows(access.connection, MONTHS, bounds)]

    return pages.answer(request, rows, limit, lambda row: [row["year"], row["month"]], MONTH)


@router.get("/months/{month}", response_model=listing(MonthShape), summary="The bills of a month")
def bills(request: Request, month: PathMonth, limit: Limit = PAGE, cursor: Cursor = None) -> Response:
    """Return the bill of every project that is closed for the month, in the order of their ids."""
    period, key = Month.parse(month), cursors.decode(request, cursor, cursors.number)

    def rows(access: Access, most: int) -> Rows:
        bounds = period.bounds() | {"after": key[0] if key else 0, "most": most}
        return [_month(row) for row in _rows(access.connection, BILLS, bounds)]

    return pages.answer(request, rows, limit, lambda row: [row["project_id"]], MONTH)


def _rows(connection: Connection, query: Any, bounds: dict[str, Any]) -> Rows:
    return [dict(row) for row in connection.execute(query, bounds).mappings()]


def _fields(row: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _day(row: dict[str, Any]) -> dict[str, Any]:
    return _fields(unknowns.day(row), DAY)


def _month(row: dict[str, Any]) -> dict[str, Any]:
    return _fields(unknowns.month(row), MONTH)
