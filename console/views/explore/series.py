"""An answer: each series with its values, and how well each period was measured. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from console.data.explore.question import Grain
from console.views.explore.events import ChartEvents

Values = list[Any]  # int, float, Decimal, or None for unknown


@dataclass(frozen=True)
class Series:
    """A line, a column of bars, a row of a heatmap: its name, its unit and a value for each period.

    `before` are the values of the range it is compared with. `link` is the page that a click opens, and its
    query. The rest of a top list `is_rest`.
    """

    name: str
    unit: str
    values: Values
    currency: str = ""
    before: Values | None = None
    link: tuple[str, dict[str, str]] | None = None
    is_rest: bool = False


@dataclass(frozen=True)
class Answer:
    """A whole answer: the periods in UTC, the series, and notes about them.

    `running` is the number of periods at the end that are not over. `quality` says of a period why it is not
    measured whole; `notes` are sentences.
    """

    grain: Grain
    periods: Sequence[Any]
    series: Sequence[Series]
    running: int = 0
    quality: Mapping[Any, str] = field(default_factory=dict)
    periods_before: Sequence[Any] = ()
    allowance: tuple[float, str] | None = None
    notes: Sequence[str] = ()
    events: ChartEvents | None = None

    @property
    def units(self) -> list[tuple[str, str]]:
        """Return each unit and currency, in the order of the series."""
        return list(dict.fromkeys((series.unit, series.currency) for series in self.series))


def name_of(period: Any, grain: Grain) -> str:
    """Return a period as the table and the file write it: `2026-11-24`, `2026-W48`, `2026-11`, an hour."""
    if grain == "hour":
        return f"{period:%Y-%m-%d %H:%M}"
    if grain == "week" and isinstance(period, date):
        year, week, _ = period.isocalendar()
        return f"{year}-W{week:02d}"
    return f"{period:%Y-%m}" if grain == "month" else f"{period:%Y-%m-%d}"
