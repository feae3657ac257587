"""Numbers and instants as people read them. Unknown is a word, never a zero."""

from datetime import datetime

from metering.catalogue.quantities import (
    UNKNOWN,
    age,
    compact,
    count,
    lasting,
    many,
    money,
    quantity,
    scale,
    size,
    span,
)

__all__ = [
    "UNKNOWN",
    "age",
    "compact",
    "count",
    "lasting",
    "many",
    "money",
    "quantity",
    "scale",
    "size",
    "span",
]


def unit_label(unit: str) -> str:
    """Return the unit's label in a column of numbers; empty for a plain count."""
    return {"count": "", "bytes": "B"}.get(unit, unit)


def duration(seconds: float | None) -> str:
    """Format a length of time."""
    if seconds is None:
        return UNKNOWN
    if seconds < 0.001:
        return "< 1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def stamp(at: datetime) -> str:
    """Format an instant to the second, with its zone."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
