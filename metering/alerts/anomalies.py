"""Anomalies: sealed days whose usage the days before them do not explain, one alert each.

Every sealed day is judged once, in order, each meter only from the days before it (bands.py says
how). A day that was not measured whole is unknown: it is neither judged nor learnt from. When a new
level stays, its third day is no news any more. What is found in days more than a week old is kept,
and is over from the start: it is no news either.
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
from metering.catalogue.meters import COUNTERS, columns
from metering.catalogue.sources import COUNTER_SOURCES
from metering.days.coverage import unknown_on_day
from metering.db.transactions import CHUNK, advisory_lock, chunks, transaction

STREAK = 2  # days out of the band in one direction, after which it is the new level
OVERLAP = "1 hour"  # a seal may have begun before the last judgement and been committed after it

Progress = Callable[[str, int, int], None]

# The days of some projects with enough before the first of them to judge by; `due` is to be judged.
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

OPEN = text("""
    INSERT INTO alerts (kind, severity, project_id, subject, detail, opened_at, resolved_at)
    SELECT 'anomaly', 'warning', found.project_id, found.meter || ' ' || found.date,
        jsonb_build_object('meter', found.meter, 'date', found.date, 'expected_low', found.low,
            'expected_high', found.high, 'actual', found.actual, 'reason', found.reason), :at,
        CASE WHEN CAST(found.date AS date) < CAST(:at AS timestamptz) - interval '7 days' THEN :at END
    FROM jsonb_to_recordset(CAST(:found AS jsonb)) AS found
        (project_id bigint, meter text, date text, low bigint, high bigint, actual bigint, reason text)
    WHERE NOT EXISTS (
        SELECT FROM alerts a WHERE a.kind = 'anomaly' AND a.project_id = found.project_id
        AND a.subject = found.meter || ' ' || found.date)
    ORDER BY found.date, found.project_id, found.meter""")

JUDGED = text("""
    UPDATE project_stats SET judged_at = greatest(judged_at, :loaded_at) WHERE project_id = ANY(:ids)""")


@dataclass(frozen=True)
class Anomaly:
    """A day's usage of a meter outside of what was expected, in the meter's units."""

    project_id: int
    meter: str
    date: date
    low: int
    high: int
    actual: int

    @property
    def reason(self) -> str:
        """In words; for people."""
        side = "more" if self.actual > self.high else "less"
        return (
            f"{side} than the {self.low:,} to {self.high:,} that this weekday's usage "
            "and the last weeks' level let expect"
        )


@dataclass(frozen=True)
class Days:
    """The loaded days of some projects: `usage[meter][project, day]`, NaN where unknown."""

    ids: list[int]
    first: date
    usage: dict[str, NDArray[np.float64]]
    due: NDArray[np.bool_]


def judge(
    engine: Engine, project_ids: Sequence[int], at: datetime, progress: Progress = lambda *_: None
) -> int:
    """Judge the days of those projects that were not judged yet; returns the anomalies found.

    Killed half-way, the rest is judged by the next run. The arithmetic takes seconds, so no transaction
    is open during it: the database ends those that stay idle.
    """
    found = 0
    for done, ids in enumerate(chunks(project_ids)):
        progress("judging days", done * CHUNK, len(project_ids))
        with transaction(engine) as connection:
            projects.ensure(connection, ids, at)
            loaded_at = connection.execute(text("SELECT now()")).scalar_one()
            days = _load(connection, ids)
        news = [] if days is None else list(unusual(days))
        with transaction(engine) as connection:
            advisory_lock(connection, "anomalies")
            found += _open(connection, news, at)
            projects.lock(connection, ids)
            connection.execute(JUDGED, {"ids": ids, "loaded_at": loaded_at})
    return found


def unusual(days: Days) -> Iterator[Anomaly]:
    """The anomalies among the days that are due, by meter and date."""
    for meter, usage in days.usage.items():
        low, high, side = _judged(usage, days.due)
        news = (side != 0) & days.due & ~_settled(side)
        for project, day in zip(*np.nonzero(news), strict=True):
            yield Anomaly(
                days.ids[project],
                meter,
                days.first + timedelta(days=int(day)),
                int(np.ceil(low[project, day])),
                int(np.floor(high[project, day])),
                int(usage[project, day]),
            )


def _open(connection: Connection, news: Sequence[Anomaly], at: datetime) -> int:
    rows = [
        {**vars(one), "date": str(one.date), "reason": one.reason}
        for one in sorted(news, key=lambda one: (one.date, one.project_id))
    ]
    return connection.execute(OPEN, {"found": json.dumps(rows), "at": at}).rowcount if rows else 0


def _load(connection: Connection, ids: list[int]) -> Days | None:
    given = {"ids": ids, "reach": forecast.REACH + STREAK}
    rows = connection.execute(LOADED, given).all()
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
        known = [
            np.nan if getattr(row, f"{counter.source}_unknown") else float(getattr(row, counter.name))
            for row in rows
        ]
        usage[counter.name] = np.full(shape, np.nan)
        usage[counter.name][at[0], at[1]] = known
    return Days(list(places), first, usage, due)


def _judged(
    usage: NDArray[np.float64], due: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int8]]:
    """Bounds, and on which side of them a day is: of the due days and the STREAK before each."""
    low, high = (np.full(usage.shape, np.nan) for _ in range(2))
    past = np.concatenate([np.full((len(usage), forecast.REACH), np.nan), usage], axis=1)
    wanted = due.copy()
    for back in range(1, STREAK + 1):
        wanted[:, :-back] |= due[:, back:]
    for day in np.flatnonzero(wanted.any(axis=0)):
        before = past[:, day : day + forecast.REACH]
        some = np.flatnonzero(wanted[:, day] & (np.nan_to_num(before).sum(axis=1) > 0))
        if len(some):
            band = forecast.expected(before[some])
            low[some, day], high[some, day] = band.low, band.high
    side = (usage > high).astype(np.int8) - (usage < low).astype(np.int8)
    return low, high, side


def _settled(side: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Days after STREAK others out on the same side: the new level, not news."""
    settled = np.ones(side.shape, dtype=bool)
    for back in range(1, STREAK + 1):
        settled[:, :back] = False
        settled[:, back:] &= side[:, back:] == side[:, :-back]
    return settled
