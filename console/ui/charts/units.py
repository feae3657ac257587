"""The formats of a unit on a chart's axis and in its hover: counts, bytes, money, seconds and shares."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """D3's formats of the axis and of the hover, and the suffix of each number."""

    axis: str
    hover: str
    suffix: str = ""

    @property
    def value(self) -> str:
        """Return the part of a hover template that shows `y`."""
        return f"%{{y:{self.hover}}}{self.suffix}"


COUNT = Unit("~s", ",.7~r")
BYTES = Unit("~s", ".4~s", "B")
SHARE = Unit(".0%", ".1%")


def of(unit: str, currency: str = "") -> Unit:
    """Return the formats of a meter's unit; with a currency, those of money."""
    if currency:
        return Unit("~s", ",.2f", f" {currency}")
    named_units = {"count": COUNT, "bytes": BYTES, "share": SHARE}
    return named_units.get(unit) or Unit("~s", ",.7~r", f" {unit}")
