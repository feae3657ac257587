"""A question to the books: what, of whom, from when to when, in which periods, grouped by what."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from console.data.explore.measures import Measure

Grain = Literal["hour", "day", "week", "month"]
Group = Literal["none", "organization", "tier", "project", "device", "direction", "meter"]


@dataclass(frozen=True)
class Filters:
    """Only these tiers, organizations and projects; each empty for all. Several of one kind: any of them."""

    tiers: tuple[str, ...] = ()
    organizations: tuple[int, ...] = ()
    projects: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tiers or self.organizations or self.projects)


@dataclass(frozen=True)
class Question:
    """A question; `first` and `last` are UTC days, both included. `top` groups have a series of their own.

    `labels`: the groups that have one, instead of the largest; `rest` says whether there are others.
    """

    measures: tuple[Measure, ...]
    by: Group
    top: int
    filters: Filters
    first: date
    last: date
    grain: Grain
    labels: tuple[Any, ...] | None = None
    rest: bool = False

    def moved(self, first: date, last: date) -> "Question":
        """Return the same question about another range."""
        return replace(self, first=first, last=last)

    def about(self, labels: Sequence[Any], rest: bool) -> "Question":
        """Return the same question about these groups, and the `rest` of them."""
        return replace(self, labels=tuple(labels), rest=rest)

    def starts(self) -> list[Any]:
        """Return the first day, or with hours the first instant, of each period of the range."""
        return periods(self.first, self.last, self.grain)

    def parameters(self) -> dict[str, Any]:
        """Return the range and the filters as parameters of a statement; an empty filter is NULL."""
        return {
            "first": self.first,
            "last": self.last,
            "until_at": datetime.combine(self.last + timedelta(days=1), time(), UTC),
            "tiers": _list(self.filters.tiers),
            "organizations": _list(self.filters.organizations),
            "projects": _list(self.filters.projects),
        }


def _list(values: Sequence[Any]) -> list[Any] | None:
    return list(values) or None


def periods(first: date, last: date, grain: Grain) -> list[Any]:
    """Return the start of each period of that grain in the range; weeks begin on Monday (ISO)."""
    if grain == "hour":
        begins = datetime.combine(first, time(), UTC)
        return [begins + timedelta(hours=number) for number in range(24 * ((last - first).days + 1))]
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return list(dict.fromkeys(period_of(day, grain) for day in days))


def period_of(day: date, grain: Grain) -> date:
    """Return the first day of the week or month that `day` is in, or the day itself."""
    if grain == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if grain == "month" else day
