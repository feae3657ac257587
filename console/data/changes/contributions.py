"""Contributions to a change: by organization, project, meter, tier and device they sum exactly to it. Pure.

A project that was metered but is unknown in one of the periods is left out of the change and listed
separately: unknown is not zero. A project that did not exist yet, or no longer, used nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from console.data.changes.amounts import Presence, Used
from console.data.explore.question import Filters

Dimension = Literal["organization", "project", "meter", "tier", "device"]
# Those of every change; devices are compared for a single project only.
DIMENSIONS: tuple[Dimension, ...] = ("organization", "project", "meter", "tier")
Range = tuple[date, date]  # UTC days, both included


@dataclass(frozen=True)
class Contribution:
    """A group's part of the change; `is_new`: no usage before; `is_gone`: none after.

    `known_days` and `expected` count the known days of both periods, and those to be measured; 0 of money.
    """

    key: Any
    before: Any
    after: Any
    is_new: bool
    is_gone: bool
    known_days: tuple[int, int] = (0, 0)
    expected: tuple[int, int] = (0, 0)

    @property
    def change(self) -> Any:
        """Return the group's part of the change, negative where its usage fell."""
        return self.after - self.before


@dataclass(frozen=True)
class IncomparableMeter:
    """A project's meter that is unknown in one period, with its value in the other."""

    project: int
    meter: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Comparison:
    """The change of all comparable meters; contributions are by size of change, largest first."""

    before: Any
    after: Any
    by: Mapping[Dimension, Sequence[Contribution]]
    incomparable: Sequence[IncomparableMeter]
    compared: int  # projects

    @property
    def change(self) -> Any:
        """Return the whole change."""
        return self.after - self.before

    @property
    def ratio(self) -> float | None:
        """Return the change as a fraction of the value before, None where that is zero."""
        return float(self.change / self.before) if self.before else None


def compare(
    used: tuple[Iterable[Used], Iterable[Used]],
    present: Mapping[int, Presence],
    ranges: tuple[Range, Range],
    meters: Sequence[str],
    filters: Filters,
    zero: Any = 0,
) -> Comparison:
    """Split the change from the first to the second period into contributions.

    `used` and `ranges` are of the period before and of the one after. `zero` is of the values' type.
    """
    rows = _by_project(used)
    groups: dict[tuple[Dimension, Any], _Group] = defaultdict(lambda: _Group(zero))
    total, incomparable, compared = _Group(zero), [], set()
    for project, sides in rows.items():
        there = present.get(project)
        expected = tuple(there.days(*days) if there else 0 for days in ranges)
        own = tuple([row for row in side if _matches(row, filters)] for side in sides)
        for number, meter in enumerate(meters):
            if not any(own):
                continue
            known_days = tuple(sum(row.known_days[number] for row in side) for side in sides)
            if any(expected[side] and not known_days[side] for side in (0, 1)):
                values = [_sum(own[side], number, zero) if known_days[side] else None for side in (0, 1)]
                if any(known_days):
                    incomparable.append(IncomparableMeter(project, meter, *values))
                continue
            compared.add(project)
            for side in (0, 1):
                total.expected[side] += expected[side]
                groups["project", project].expected[side] += expected[side]
                for row in own[side]:
                    keys = {"organization": row.organization, "project": project, "tier": row.tier}
                    for dimension, key in (*keys.items(), ("meter", meter)):
                        groups[dimension, key].add(side, row, number)  # type: ignore[index]
                    total.add(side, row, number)
    by = {name: _sorted(groups, name) for name in DIMENSIONS}
    return Comparison(total.values[0], total.values[1], by, incomparable, len(compared))


class _Group:
    """Sums of both periods of one group."""

    def __init__(self, zero: Any) -> None:
        self.values, self.rows = [zero, zero], [0, 0]
        self.known_days, self.expected = [0, 0], [0, 0]

    def add(self, side: int, row: Used, number: int) -> None:
        """Add the value of one meter in a row."""
        if row.values[number] is not None:
            self.values[side] += row.values[number]
        self.known_days[side] += row.known_days[number]
        self.rows[side] += 1


def _by_project(used: tuple[Iterable[Used], Iterable[Used]]) -> dict[int, tuple[list[Used], list[Used]]]:
    rows: dict[int, tuple[list[Used], list[Used]]] = defaultdict(lambda: ([], []))
    for side, period in enumerate(used):
        for row in period:
            rows[row.project][side].append(row)
    return rows


def _matches(row: Used, filters: Filters) -> bool:
    return (
        (not filters.organizations or row.organization in filters.organizations)
        and (not filters.tiers or row.tier in filters.tiers)
        and (not filters.projects or row.project in filters.projects)
    )


def _sum(rows: Sequence[Used], number: int, zero: Any) -> Any:
    return sum((row.values[number] for row in rows if row.values[number] is not None), zero)


def _sorted(groups: Mapping[tuple[Dimension, Any], _Group], name: Dimension) -> list[Contribution]:
    contributions = [
        Contribution(
            key,
            group.values[0],
            group.values[1],
            is_new=not group.rows[0],
            is_gone=not group.rows[1],
            known_days=(group.known_days[0], group.known_days[1]),
            expected=(group.expected[0], group.expected[1]),
        )
        for (dimension, key), group in groups.items()
        if dimension == name and any(group.rows)
    ]
    return sorted(contributions, key=lambda one: (-abs(one.change), str(one.key)))
