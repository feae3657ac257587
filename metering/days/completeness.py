"""Days sealed of a whole fleet, and what is missing: quick where nothing is.

A day is whole when the projects it is sealed for are exactly those it is expected for. Both sets are
reduced to the exclusive or of their ids' 64-bit hashes, so that 10,000 projects are compared as one
number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, text

from metering.catalogue.periods import Day
from metering.days import expected_days
from metering.days.expected_days import MissingDay

COUNTED = 10  # days that one statement counts
AT_ONCE = 7  # days that are not whole, looked into by one statement

# A project turns up on its first expected day and turns away after its last: toggled in order of days,
# the hashes give the set of each day.
SEALED = text(f"""
    WITH expected AS MATERIALIZED (
        SELECT bit_xor(hashint8extended(e.id, 0)) AS mark, e.starts::date AS starts, e.ends::date AS ends
        FROM ({expected_days.EXPECTED} OFFSET 0) e WHERE e.ends > e.starts GROUP BY e.starts, e.ends
    ), turns AS (
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
        coalesce(sealed.mark, 0) = coalesce(bit_xor(turns.mark) OVER (ORDER BY d.day), 0) AS whole
    FROM generate_series(CAST(:since AS timestamptz)::date, CAST(:until AS timestamptz)::date - 1,
        interval '1 day') AS d (day)
    LEFT JOIN turns ON turns.day = d.day::date LEFT JOIN sealed ON sealed.date = d.day::date
    ORDER BY d.day""")


@dataclass(frozen=True)
class SealedDay:
    """How many projects have that day sealed, and whether they are exactly those it is expected for."""

    date: date
    projects: int
    whole: bool


def read(connection: Connection, first: Day, last: Day, at: datetime) -> list[SealedDay]:
    """Return a row for each day from `first` to `last`, both included, as expected at `at`."""
    found: list[SealedDay] = []
    for since, until in _spans(first, last):
        rows = connection.execute(
            SEALED, {"since": since.start, "until": until.end, "at": at, "project_id": None}
        )
        found += [SealedDay(*row) for row in rows]
    return found


def missing(connection: Connection, days: Sequence[SealedDay], at: datetime) -> list[MissingDay]:
    """Return the missing days among `days`, which are in order and without gaps."""
    broken = [day.date for day in days if not day.whole]
    found: list[MissingDay] = []
    while broken:
        most = broken[0] + timedelta(days=AT_ONCE - 1)
        last = max(day for day in broken if day <= most)
        found += expected_days.missing_days(connection, Day(broken[0]), Day(last), at)
        broken = [day for day in broken if day > last]
    return sorted(found, key=lambda day: (day.project_id, day.date))


def _spans(first: Day, last: Day) -> Iterator[tuple[Day, Day]]:
    while first <= last:
        until = min(Day(first.date + timedelta(days=COUNTED - 1)), last)
        yield first, until
        first = until.next()
