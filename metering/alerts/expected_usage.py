"""Compare a project's days with their expected ranges, by the forecast that finds anomalies."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sqlalchemy import Connection, text

from metering.alerts import forecast
from metering.catalogue.meters import COUNTERS
from metering.catalogue.periods import Day, days
from metering.days.coverage import unknown_on_day
from metering.errors import FleetmeterError

_QUERIES = {
    meter.name: text(f"""
        SELECT date, CASE WHEN {unknown_on_day(meter.source, "d")} THEN NULL
            ELSE {meter.name} END AS used
        FROM daily_stats d WHERE project_id = :id AND date >= :first AND date <= :last""")
    for meter in COUNTERS
}


@dataclass(frozen=True)
class Expectation:
    """A day's usage in the meter's unit, and its bounds.

    `actual` is None where it is unknown; the bounds are None where nothing can be expected.
    """

    date: date
    actual: int | None
    low: int | None
    high: int | None


def expectations(
    connection: Connection, project_id: int, meter: str, first: Day, last: Day
) -> list[Expectation]:
    """Return each day from `first` to `last` with its expected range.

    Raises FleetmeterError if `meter` is not a counter.
    """
    if meter not in _QUERIES:
        raise FleetmeterError(f"there is no counter {meter!r}")
    since = Day(first.date - timedelta(days=forecast.REACH))
    bounds = {"id": project_id, "first": since.date, "last": last.date}
    used = {row.date: row.used for row in connection.execute(_QUERIES[meter], bounds)}
    quantities = [used.get(day.date) for day in days(since, last)]
    usage = np.array([np.nan if value is None else float(value) for value in quantities])
    band = forecast.expected(sliding_window_view(usage, forecast.REACH)[:-1])
    return [
        Expectation(day.date, actual, _whole(low, np.ceil), _whole(high, np.floor))
        for day, actual, low, high in zip(
            days(first, last), quantities[forecast.REACH :], band.low, band.high, strict=True
        )
    ]


def _whole(bound: float, rounded: "np.ufunc") -> int | None:
    return None if np.isnan(bound) else int(rounded(bound))
