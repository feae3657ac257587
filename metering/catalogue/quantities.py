"""Write quantities, money and spans of time as people read them. Unknown is a word, never a zero."""

from datetime import date, datetime
from decimal import Decimal

UNKNOWN = "unknown"
_SCALES = ((10**15, "P"), (10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


def count(value: int | Decimal | None) -> str:
    """Format a number with thousands separators."""
    return UNKNOWN if value is None else f"{value:,}"


def compact(value: float | Decimal | None) -> str:
    """Format a number with three significant digits, such as 12.3 k."""
    if value is None:
        return UNKNOWN
    number = float(value)
    size, letter = next(((s, n) for s, n in _SCALES if abs(number) >= s), (1, ""))
    scaled = number / size
    digits = 0 if abs(scaled) >= 100 or scaled == int(scaled) else 1
    return f"{scaled:,.{digits}f} {letter}".strip()


def scale(value: int | float) -> tuple[int, str]:
    """Return the divisor that makes `value` bytes readable, and the unit's name, such as MB."""
    return next(((by, f"{letter}B") for by, letter in _SCALES if abs(value) >= by), (1, "B"))


def size(value: int | None) -> str:
    """Format bytes in decimal units, such as 12.3 GB."""
    if value is None:
        return UNKNOWN
    return f"{value:,} B" if abs(value) < 1000 else compact(value) + "B"


def quantity(value: int | None, unit: str) -> str:
    """Format a meter's value in its unit: `count` or `bytes`."""
    return size(value) if unit == "bytes" else count(value)


def span(low: int, high: int, unit: str, beside: int = 0) -> str:
    """Return a range of a meter's value in one unit, such as 0.18–0.31 GB; the unit fits `beside` too."""
    if unit != "bytes":
        return f"{count(low)}–{count(high)}"
    by, name = scale(max(high, beside))
    return f"{_two_digits(low / by)}–{_two_digits(high / by)} {name}"


def _two_digits(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def percent(used: int | Decimal, of: int | Decimal) -> str:
    """Return a share in percent, rounded down, so that 100 % is reached and not only near."""
    return f"{int(used * 100 // of):,} %" if of else "more than 100 %"


def money(value: Decimal | None, currency: str) -> str:
    """Format an amount with its currency's code."""
    return UNKNOWN if value is None else f"{value:,} {currency}"


def lasting(since: datetime, at: datetime) -> str:
    """Format the time from `since` to `at` in its largest unit: `24 min`."""
    seconds = max(0, int((at - since).total_seconds()))
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 5400:
        return f"{seconds // 60} min"
    if seconds < 36 * 3600:
        return f"{seconds // 3600} h"
    return f"{seconds // 86400} days"


def age(since: datetime | None, at: datetime) -> str:
    """Format the time from `since` to `at` as an age: `24 min ago`."""
    return "never" if since is None else f"{lasting(since, at)} ago"


def many(number: int, noun: str) -> str:
    """Format a count with its noun: `1 day`, `2 days`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def days(first: date, last: date) -> str:
    """Return the days from `first` to `last`: `18–20 Nov`, `30 Nov – 2 Dec`, `20 Nov`."""
    if first == last:
        return f"{first.day} {first:%b}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{last.day} {last:%b}"
    return f"{first.day} {first:%b} – {last.day} {last:%b}"


def moment(at: datetime) -> str:
    """Format an instant (UTC) to the minute: `24 Nov 10:30 UTC`."""
    return f"{at.day} {at:%b %H:%M} UTC"
