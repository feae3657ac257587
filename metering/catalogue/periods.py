"""Half-open periods `[start, end)` in UTC: Hour, Day, Month. Pure; nothing here reads a clock."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self

from metering.errors import PeriodError

EARLIEST, LATEST = 1970, 9000  # years; the months before and after must exist too


def utc(at: datetime) -> datetime:
    """Convert an aware datetime to UTC. Raises PeriodError for a naive one: it names no instant."""
    if at.tzinfo is None:
        raise PeriodError(f"{at.isoformat()} has no time zone; say which, for example {at}+00:00")
    return at.astimezone(UTC)


def parse_instant(text: str) -> datetime:
    """Parse an ISO 8601 instant; a bare date is its midnight, no zone means UTC. Raises PeriodError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise PeriodError(f"{text!r} is not an instant; write it like 2026-11-24T00:05:00Z") from error
    if at.year < EARLIEST or at.year > LATEST:
        raise PeriodError(f"{text!r} is not between the years {EARLIEST} and {LATEST}; check the year")
    return utc(at if at.tzinfo else at.replace(tzinfo=UTC))


@dataclass(frozen=True, order=True)
class Hour:
    """One UTC hour."""

    start: datetime

    @classmethod
    def of(cls, at: datetime) -> Self:
        """Return the hour that contains `at`."""
        return cls(utc(at).replace(minute=0, second=0, microsecond=0))

    @property
    def end(self) -> datetime:
        """Return the first instant after the hour."""
        return self.start + timedelta(hours=1)

    def __str__(self) -> str:
        return self.start.strftime("%Y-%m-%dT%H:00Z")


@dataclass(frozen=True, order=True)
class Day:
    """One UTC day."""

    date: date

    @classmethod
    def of(cls, at: datetime) -> Self:
        """Return the day that contains `at`."""
        return cls(utc(at).date())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a day from `YYYY-MM-DD`. Raises PeriodError."""
        try:
            # Python also takes 20261124 and 2026-W48-2; one way to write a day is enough.
            return cls(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date())
        except ValueError as error:
            raise PeriodError(f"{text!r} is not a day; write it like 2026-11-24") from error

    @property
    def start(self) -> datetime:
        """Return the first instant of the day."""
        return datetime(self.date.year, self.date.month, self.date.day, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """Return the first instant after the day."""
        return self.start + timedelta(days=1)

    def next(self) -> "Day":
        """Return the following day."""
        return Day(self.date + timedelta(days=1))

    def previous(self) -> "Day":
        """Return the day before."""
        return Day(self.date - timedelta(days=1))

    def __str__(self) -> str:
        return self.date.isoformat()


@dataclass(frozen=True, order=True)
class Month:
    """One calendar month in UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, at: datetime) -> Self:
        """Return the month that contains `at`."""
        at = utc(at)
        return cls(at.year, at.month)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a month from `YYYY-MM`. Raises PeriodError."""
        match = re.fullmatch(r"([0-9]{4})-([0-9]{2})", text)
        if not match or not 1 <= int(match[2]) <= 12 or int(match[1]) < 1:
            raise PeriodError(f"{text!r} is not a month; write it like 2026-11")
        return cls(int(match[1]), int(match[2]))

    @property
    def start(self) -> datetime:
        """Return the first instant of the month."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """Return the first instant after the month."""
        return self.next().start

    @property
    def first(self) -> Day:
        """Return the first day."""
        return Day.of(self.start)

    @property
    def last(self) -> Day:
        """Return the last day."""
        return self.next().first.previous()

    def next(self) -> "Month":
        """Return the following month."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    def previous(self) -> "Month":
        """Return the month before."""
        return Month(self.year - (self.month == 1), (self.month - 2) % 12 + 1)

    def days(self) -> Iterator[Day]:
        """Return the days in order."""
        return days(self.first, self.last)

    def bounds(self) -> dict[str, Any]:
        """Return the month as parameters of a statement.

        `year` and `month` are numbers; `start` and `end` instants, `end` excluded; `first` and `last`
        dates, `last` included.
        """
        return {
            "year": self.year,
            "month": self.month,
            "start": self.start,
            "end": self.end,
            "first": self.first.date,
            "last": self.last.date,
        }

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


def days(first: Day, last: Day) -> Iterator[Day]:
    """Return the days from `first` to `last`, both included; none when `last` is earlier."""
    for offset in range((last.date - first.date).days + 1):
        yield Day(first.date + timedelta(days=offset))
