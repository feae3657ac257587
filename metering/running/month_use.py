"""The use of one meter in the running month, day by day, for a burn-down chart."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import own_meters
from metering.catalogue.meters import METERS
from metering.catalogue.periods import Day, Month, days
from metering.catalogue.sources import quoted
from metering.months.days_so_far import DAYS_SO_FAR

BLIND = ("missing", "not_configured", "not_started")

# Of a sealed day whose source was blind only a part may be known; of an open day, what was counted so far.
_DAYS = f"""
    SELECT used.date, QUANTITY AS quantity,
        coalesce(sealed.coverage->:source->>'state' NOT IN {quoted(BLIND)}, true) AS is_known
    FROM {DAYS_SO_FAR} used LEFT JOIN daily_stats sealed
        ON sealed.project_id = used.project_id AND sealed.date = used.date ORDER BY used.date"""
_ADJUSTMENTS = text("""
    SELECT greatest(least(usage_date, :today), CAST(:first AS date)) AS date, sum(quantity) AS quantity
    FROM adjustments WHERE project_id = :project AND posted_month = :first AND meter = :meter
        AND amount IS NULL GROUP BY 1""")


@dataclass(frozen=True)
class UsedDay:
    """A day of the month: its usage, None if there is no figure, and what corrections about it add.

    Not `is_known`: the day is missing, or its source was blind, so that `quantity` may be a part of it.
    """

    date: date
    quantity: int | None
    is_known: bool = True
    corrected: int = 0


def by_day(connection: Connection, project_id: int, meter: str, at: datetime) -> list[UsedDay]:
    """Return the days of the month of `at`, up to and with the running one, in order.

    Of a gauge the quantity is the level at the day's end. Raises ValueError for a name that no meter has.
    """
    month, source = Month.of(at), METERS[meter].source if meter in METERS else None
    parameters: dict[str, Any] = month.bounds() | {
        **{"ids": [project_id], "project": project_id, "meter": meter, "at": at},
        **{"month_start": month.start, "source": source or "", "today": Day.of(at).date},
    }
    quantity = f"used.{METERS[meter].name}" if meter in METERS else own_meters.value_sql(meter, "used.meters")
    query = text(_DAYS.replace("QUANTITY", quantity))
    rows = {row.date: row for row in connection.execute(query, parameters)}
    adjustments = {row.date: int(row.quantity) for row in connection.execute(_ADJUSTMENTS, parameters)}
    return [
        _day(day.date, rows.get(day.date), adjustments.get(day.date, 0))
        for day in days(month.first, Day.of(at))
    ]


def cumulative(used: Sequence[UsedDay], adds_up: bool) -> list[int | None]:
    """Return the use of the month at the end of each day; of a meter that does not add up, its level.

    None at the end of an unknown day; later days add to the known ones.
    """
    if not adds_up:
        return [day.quantity for day in used]
    total, ends = 0, list[int | None]()
    for day in used:
        total += (day.quantity or 0) + day.corrected
        ends.append(total if day.is_known else None)
    return ends


def _day(date: date, row: Any, corrected: int) -> UsedDay:
    if row is None or row.quantity is None:
        return UsedDay(date, None, False, corrected)
    return UsedDay(date, int(row.quantity), row.is_known, corrected)
