"""Find anomalies: sealed days with unexpected usage, one alert for each project and day.

Every sealed day is judged once, in order, each meter only from the days before it (see forecast.py). A
day that was not measured in full is unknown: it is neither judged nor used to judge others. When a new
level persists, its third day is not reported any more. Anomalies more than a week old are recorded as
resolved.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, text

from metering.alerts import forecast
from metering.catalogue import projects
from metering.catalogue.meters import COUNTERS, METERS, Unit, columns
from metering.catalogue.sources import COUNTER_SOURCES
from metering.days.coverage import unknown_on_day
from metering.db.transactions import CHUNK, advisory_lock, chunks, transaction

STREAK = 2  # days out of the band in one direction, after which it is the new level
OVERLAP = "1 hour"  # a seal may have begun before the last judgement and been committed after it

Progress = Callable[[str, int, int], None]

# The days that are to be judged (`due`), and enough days before the first of them to judge by.
LOADED = text(f"""
    WITH due AS (
        SELECT d.project_id, d.date FROM daily_stats d JOIN project_stats s USING (project_id)
        WHERE d.project_id = ANY(:ids)
            AND d.created_at > coalesce(s.judged_at - interval '{OVERLAP}', '-infinity'))
    SELECT d.project_id, d.date, due.date IS NOT NULL AS due, {columns("d.{0}")},
        {columns(unknown_on_day("{0}", "d") + " AS {0}_unknown", COUNTER_SOURCES)}
    FROM daily_stats d LEFT JOIN due USING (project_id, date)
    WHERE d.project_id = ANY(:ids) AND d.date >= (SELECT min(date) FROM due) - CAST(:reach AS int)
    ORDER BY d.date""")

# One incident for each project and day, which holds all its meters, the furthest from its range first.
OPEN = text("""
    INSERT INTO alerts (kind, severity, project_id, subject, detail, opened_at, resolved_at, history)
    SELECT 'anomaly', 'warning', day.project_id, day.date,
        (day.meters->0) || jsonb_build_object('date', day.date, 'meters', day.meters), :at,
        CASE WHEN CAST(day.date AS date) < CAST(:at AS timestamptz) - interval '7 days' THEN :at END,
        jsonb_build_array(jsonb_build_object(
            'at', CAST(:at AS timestamptz), 'event', 'opened', 'severity', 'warning'))
    FROM (
        SELECT project_id, date, jsonb_agg(jsonb_build_object('meter', meter, 'unit', unit,
            'expected_low', low, 'expected_high', high, 'actual', actual)
            ORDER BY greatest((actual + 1) / (high + 1.0), (low + 1.0) / (actual + 1)) DESC, meter) AS meters
        FROM jsonb_to_recordset(CAST(:anomalies AS jsonb)) AS anomaly
            (project_id bigint, meter text, unit text, date text, low bigint, high bigint, actual bigint)
        GROUP BY project_id, date) AS day
    WHERE NOT EXISTS (
        SELECT FROM alerts a WHERE a.kind = 'anomaly' AND a.project_id = day.project_id
        AND a.subject = day.date)
    ORDER BY day.date, day.project_id""")

JUDGED = text("""
    UPDATE project_stats SET judged_at = greatest(judged_at, :loaded_at) WHERE project_id = ANY(:ids)""")


@dataclass(frozen=True)
class Anomaly:
    """A day's usage of a meter outside of the expected range `low` to `high`, in the meter's unit."""

    project_id: int
    meter: str
    date: date
    low: int
    high: int
    actual: int

    @property
    def unit(self) -> Unit:
        """Return the meter's unit."""
        return METERS[self.meter].unit


@dataclass(frozen=True)
class Days:
    """The days of some projects: `usage[meter][project, day]`, NaN where it is unknown."""

    ids: list[int]
    first: date
    usage: dict[str, NDArray[np.float64]]
    due: NDArray[np.bool_]


def judge(
    engine: Engine, project_ids: Sequence[int], at: datetime, progress: Progress = lambda *_: None
) -> int:
    """Judge the days of those projects that were not judged yet; return the number of new unusual days.

    If it is killed half-way, the next run judges the rest. The arithmetic takes seconds, so no transaction
    is open during it: the database ends transactions that stay idle.
    """
    opened = 0
    for finished_chunks, ids in enumerate(chunks(project_ids)):
        progress("judging days", finished_chunks * CHUNK, len(project_ids))
        with transaction(engine) as connection:
            projects.ensure(connection, ids, at)
            loaded_at = connection.execute(text("SELECT now()")).scalar_one()
            days = _load(connection, ids)
        anomalies = [] if days is None else list(find_anomalies(days))
        with transaction(engine) as connection:
            advisory_lock(connection, "anomalies")
            opened += _open(connection, anomalies, at)
            projects.lock(connection, ids)
            connection.execute(JUDGED, {"ids": ids, "loaded_at": loaded_at})
    return opened


def find_anomalies(days: Days) -> Iterator[Anomaly]:
    """Yield the anomalies among the days that are due, by meter and date."""
    for meter, usage in days.usage.items():
        low, high, side = _judge(usage, days.due)
        is_anomaly = (side != 0) & days.due & ~_is_new_level(side)
        for project, day in zip(*np.nonzero(is_anomaly), strict=True):
            yield Anomaly(
                days.ids[project],
                meter,
                days.first + timedelta(days=int(day)),
                int(np.ceil(low[project, day])),
                int(np.floor(high[project, day])),
                int(usage[project, day]),
            )


def _open(connection: Connection, anomalies: Sequence[Anomaly], at: datetime) -> int:
    rows = [
        {**vars(anomaly), "date": str(anomaly.date), "unit": anomaly.unit}
        for anomaly in sorted(anomalies, key=lambda anomaly: (anomaly.date, anomaly.project_id))
    ]
    return connection.execute(OPEN, {"anomalies": json.dumps(rows), "at": at}).rowcount if rows else 0


def _load(connection: Connection, ids: list[int]) -> Days | None:
    rows = connection.execute(LOADED, {"ids": ids, "reach": forecast.REACH + STREAK}).all()
    if not rows:
        return None
    places = {project: place for place, project in enumerate(sorted({row.project_id for row in rows}))}
    first = rows[0].date
    at = np.array([[places[row.project_id], (row.date - first).days] for row in rows]).T
    shape = (len(places), (rows[-1].date - first).days + 1)
    due = np.zeros(shape, dtype=bool)
    due[at[0], at[1]] = [row.due for row in rows]
    usage = {}
    for counter in COUNTERS:
        values = [
            np.nan if getattr(row, f"{counter.source}_unknown") else float(getattr(row, counter.name))
            for row in rows
        ]
        usage[counter.name] = np.full(shape, np.nan)
        usage[counter.name][at[0], at[1]] = values
    return Days(list(places), first, usage, due)


def _judge(
    usage: NDArray[np.float64], due: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int8]]:
    """Return bounds, and the side of them on which a day lies (-1, 0, 1).

    Covers the days that are due and the STREAK days before each.
    """
    low, high = (np.full(usage.shape, np.nan) for _ in range(2))
    past = np.concatenate([np.full((len(usage), forecast.REACH), np.nan), usage], axis=1)
    judged = due.copy()
    for back in range(1, STREAK + 1):
        judged[:, :-back] |= due[:, back:]
    for day in np.flatnonzero(judged.any(axis=0)):
        before = past[:, day : day + forecast.REACH]
        some = np.flatnonzero(judged[:, day] & (np.nan_to_num(before).sum(axis=1) > 0))
        if len(some):
            band = forecast.expected(before[some])
            low[some, day], high[some, day] = band.low, band.high
    side = (usage > high).astype(np.int8) - (usage < low).astype(np.int8)
    return low, high, side


def _is_new_level(side: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return the days after STREAK others on the same side of their bounds."""
    same = np.ones(side.shape, dtype=bool)
    for back in range(1, STREAK + 1):
        same[:, :back] = False
        same[:, back:] &= side[:, back:] == side[:, :-back]
    return same
