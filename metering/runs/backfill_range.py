"""The range of days of a backfill: from its arguments, checked before it is queued."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import projects
from metering.catalogue.month_sql import first_of_month
from metering.catalogue.periods import Day, Month
from metering.catalogue.projects import INSTALLED_FIRST
from metering.days.seal import refuse_unfinished
from metering.errors import MonthClosed, PeriodError
from metering.runs.requests import Request

INSTALLED = text(f"SELECT {INSTALLED_FIRST}")
CLOSED = text(f"""
    SELECT m.project_id, m.year, m.month FROM monthly_stats m
    WHERE m.project_id = ANY(:ids) AND {first_of_month("m")} >= :month
    ORDER BY m.year, m.month, m.project_id LIMIT 1""")


def parse(arguments: Mapping[str, Any]) -> tuple[Day, Day]:
    """Return the first and the last day. Raises PeriodError unless they form a range."""
    if "from" not in arguments or "to" not in arguments:
        raise PeriodError("a backfill needs its days: fleetmeter backfill --from 2026-11-01 --to 2026-11-03")
    first, last = Day.parse(arguments["from"]), Day.parse(arguments["to"])
    if first > last:
        raise PeriodError(f"the first day {first} is after the last one {last}")
    return first, last


def period(_: datetime, arguments: Mapping[str, Any]) -> str:
    """Return `first..last`. Raises PeriodError unless the arguments form a range of days."""
    first, last = parse(arguments)
    return f"{first}..{last}"


def check(connection: Connection, request: Request) -> None:
    """Raise PeriodError unless all days are over at `request.at`, MonthClosed if one is closed."""
    is_billed = bool(request.arguments.get("bill"))
    check_days(connection, *parse(request.arguments), request.at, request.project_id, is_billed)


def check_days(
    connection: Connection, first: Day, last: Day, at: datetime, project_id: int | None, is_billed: bool
) -> None:
    """Raise PeriodError unless the days are over at `at`, MonthClosed if one is closed for a project.

    Days before the month of the installation are history: unless `is_billed`, a close after them is no
    reason to refuse.
    """
    refuse_unfinished(last, at)
    ids = projects.ids(connection, project_id)
    installed = connection.scalar(INSTALLED)
    if not is_billed and installed is not None:
        if last.date < installed:
            return
        first = max(first, Day(installed))
    month = Month.of(first.start).first.date
    row = connection.execute(CLOSED, {"ids": ids, "month": month}).one_or_none()
    if row is not None:
        raise MonthClosed(
            f"{row.year}-{row.month:02d} is closed for project {row.project_id}, so {first}..{last} cannot "
            "be backfilled; post a correction with: fleetmeter adjust"
        )
