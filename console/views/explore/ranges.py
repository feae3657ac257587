"""Ranges of Explore in UTC days, both included. A relative one is resolved anew at each look."""

from collections.abc import Callable
from datetime import date, timedelta

from console.data.explore.question import Grain

DAY = timedelta(days=1)
LONGEST = 1_100  # days: three years


def _month(day: date) -> date:
    return day.replace(day=1)


def months_before(day: date, months: int) -> date:
    """Return the same day `months` earlier, or the last day of a month that is shorter."""
    number = day.year * 12 + day.month - 1 - months
    first = date(number // 12, number % 12 + 1, 1)
    following = date((number + 1) // 12, (number + 1) % 12 + 1, 1)
    return min(first + (day.day - 1) * DAY, following - DAY)


def _quarter(day: date) -> date:
    return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)


# Name -> label, and the first and the last day as of today. Days: today and those before it.
RANGES: dict[str, tuple[str, Callable[[date], tuple[date, date]]]] = {
    "today": ("Today", lambda today: (today, today)),
    "7d": ("7 days", lambda today: (today - 6 * DAY, today)),
    "30d": ("30 days", lambda today: (today - 29 * DAY, today)),
    "90d": ("90 days", lambda today: (today - 89 * DAY, today)),
    "month": ("This month", lambda today: (_month(today), today)),
    "last_month": ("Last month", lambda today: (_month(_month(today) - DAY), _month(today) - DAY)),
    "quarter": ("This quarter", lambda today: (_quarter(today), today)),
    "year": ("This year", lambda today: (date(today.year, 1, 1), today)),
}
# Calendar ranges are compared with the calendar period before: months, not a number of days.
_CALENDAR = {"month": 1, "last_month": 1, "quarter": 3, "year": 12}


def resolve(name: str, today: date) -> tuple[date, date]:
    """Return the first and the last day of the relative range `name` as of `today`."""
    return RANGES[name][1](today)


def grain_for(first: date, last: date) -> Grain:
    """Return the grain that shows a range best, where none was chosen."""
    days = (last - first).days + 1
    return "hour" if days <= 2 else "day" if days <= 120 else "week" if days <= 400 else "month"


def compared(first: date, last: date, vs: str, align: str, name: str = "") -> tuple[date, date]:
    """Return the range to compare with: `vs` previous or year, aligned by `date` or `weekday`.

    By date: the same days of the calendar period before or of the year before; a range of days is compared
    with as many days before it. By weekday: moved by whole weeks, so that a Monday meets a Monday.
    """
    days = (last - first).days + 1
    if align == "weekday":
        weeks = 52 if vs == "year" else -(-days // 7)
        moved = timedelta(weeks=weeks)
        return first - moved, last - moved
    if vs == "year":
        return _years_before(first, last)
    if name in _CALENDAR:
        start = months_before(first, _CALENDAR[name])
        return start, min(start + (days - 1) * DAY, first - DAY)
    return first - days * DAY, last - days * DAY


def _years_before(first: date, last: date) -> tuple[date, date]:
    start = months_before(first, 12)
    return start, max(start, months_before(last, 12))
