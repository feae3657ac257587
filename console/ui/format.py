"""Numbers and instants as people read them. Unknown is a word, never a zero."""

from datetime import datetime
from decimal import Decimal

UNKNOWN = "unknown"
_SCALES = ((10**15, "P"), (10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


def count(value: int | Decimal | None) -> str:
    """With thousands separators."""
    return UNKNOWN if value is None else f"{value:,}"


def compact(value: float | Decimal | None) -> str:
    """Three significant digits, such as 12.3 k."""
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
    """Bytes in decimal units, such as 12.3 GB."""
    if value is None:
        return UNKNOWN
    return f"{value:,} B" if abs(value) < 1000 else compact(value) + "B"


def quantity(value: int | None, unit: str) -> str:
    """Format a meter's value in its unit: `count` or `bytes`."""
    return size(value) if unit == "bytes" else count(value)


def unit_label(unit: str) -> str:
    """Return how a column of numbers names their unit; empty for a plain count."""
    return {"count": "", "bytes": "B"}.get(unit, unit)


def span(low: int, high: int, unit: str) -> str:
    """Return a range of a meter's value in one unit, such as 0.18–0.31 GB."""
    if unit != "bytes":
        return f"{count(low)}–{count(high)}"
    by, name = scale(high)
    return f"{low / by:.3g}–{high / by:.3g} {name}"


def money(value: Decimal | None, currency: str) -> str:
    """Format an amount with its currency's code."""
    return UNKNOWN if value is None else f"{value:,} {currency}"


def age(since: datetime | None, at: datetime) -> str:
    """How long before `at`, in the two largest units that matter."""
    if since is None:
        return "never"
    seconds = max(0, int((at - since).total_seconds()))
    if seconds < 90:
        return f"{seconds} s ago"
    if seconds < 5400:
        return f"{seconds // 60} min ago"
    if seconds < 36 * 3600:
        return f"{seconds // 3600} h ago"
    return f"{seconds // 86400} days ago"


def duration(seconds: float | None) -> str:
    """Format a length of time."""
    if seconds is None:
        return UNKNOWN
    if seconds < 0.001:
        return "< 1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def many(number: int, noun: str) -> str:
    """`1 day`, `2 days`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def stamp(at: datetime) -> str:
    """Format an instant to the second, with its zone."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
