"""Find out quickly whether every expected day of a fleet is sealed, and which days are missing.

A day is complete when the projects it is sealed for are exactly those it is expected for. Both sets are
reduced to the exclusive or of 64-bit hashes of their ids, so that 10,000 projects are compared as one
number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, text

from metering.catalogue.periods import Day
from metering.days import expected_days
from metering.days.expected_days import MissingDay

DAYS_PER_COUNT = 10  # days that one statement counts
DAYS_PER_SEARCH = 7  # days that one statement searches for missing projects

# A project enters the set on its first expected day and leaves it after its last: the hashes, toggled in
# order of days, give the set of each day.
SEALED = text(f"""
    WITH expected AS MATERIALIZED (
        SELECT bit_xor(hashint8extended(e.id, 0)) AS mark, e.starts::date AS starts, e.ends::date AS ends
        FROM ({expected_days.EXPECTED} OFFSET 0) e WHERE e.ends > e.starts GROUP BY e.starts, e.ends
    ), changes AS (
        SELECT day, bit_xor(mark) AS mark FROM (
            SELECT starts AS day, mark FROM expected UNION ALL SELECT ends, mark FROM expected) t
        GROUP BY day
    ), sealed AS MATERIALIZED (
        SELECT date, count(*) AS projects, bit_xor(hashint8extended(project_id, 0)) AS mark
        FROM daily_stats
        WHERE date >= CAST(:since AS timestamptz)::date AND date < CAST(:until AS timestamptz)::date
        GROUP BY date
    )
    SELECT d.day::date AS date, coalesce(sealed.projects, 0) AS projects,
        coalesce(sealed.mark, 0) = coalesce(bit_xor(changes.mark) OVER (ORDER BY d.day), 0) AS is_complete
    FROM generate_series(CAST(:since AS timestamptz)::date, CAST(:until AS timestamptz)::date - 1,
        interval '1 day') AS d (day)
    LEFT JOIN changes ON changes.day = d.day::date LEFT JOIN sealed ON sealed.date = d.day::date
    ORDER BY d.day""")


@dataclass(frozen=True)
class SealedDay:
    """A day: how many projects have it sealed, and whether these are exactly the expected ones."""

    date: date
    projects: int
    is_complete: bool


def read(connection: Connection, first: Day, last: Day, at: datetime) -> list[SealedDay]:
    """Return the days from `first` to `last`, both included, as expected at `at`."""
    days: list[SealedDay] = []
    for since, until in _spans(first, last):
        rows = connection.execute(
            SEALED, {"since": since.start, "until": until.end, "at": at, "project_id": None}
        )
        days += [SealedDay(*row) for row in rows]
    return days


def find_missing(connection: Connection, days: Sequence[SealedDay], at: datetime) -> list[MissingDay]:
    """Return the missing days among `days`, which are in order and without gaps."""
    incomplete = [day.date for day in days if not day.is_complete]
    missing: list[MissingDay] = []
    while incomplete:
        latest = incomplete[0] + timedelta(days=DAYS_PER_SEARCH - 1)
        last = max(day for day in incomplete if day <= latest)
        missing += expected_days.missing_days(connection, Day(incomplete[0]), Day(last), at)
        incomplete = [day for day in incomplete if day > last]
    return sorted(missing, key=lambda day: (day.project_id, day.date))


def _spans(first: Day, last: Day) -> Iterator[tuple[Day, Day]]:
    while first <= last:
        until = min(Day(first.date + timedelta(days=DAYS_PER_COUNT - 1)), last)
        yield first, until
        first = until.next()
