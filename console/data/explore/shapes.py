"""Shapes of what was answered: series over all periods, shares, running sums, a pivot. Pure, on pandas.

A wide frame has the periods as its index and a column for each series; None is unknown, and stays None in
whatever is computed from it.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pandas as pd

Number = int | float | Decimal


def wide(
    frame: pd.DataFrame, periods: Sequence[Any], series: Sequence[tuple[str, Any]], value: str = "value"
) -> pd.DataFrame:
    """Return `frame` (measure, label, period, value) with a column for each of `series`: (measure, label)."""
    named = [frame[name] for name in ("measure", "label", "period", value)]
    cells = {(measure, label, period): number for measure, label, period, number in zip(*named, strict=True)}
    columns = {
        (measure, label): [cells.get((measure, label, period)) for period in periods]
        for measure, label in series
    }
    table = pd.DataFrame(columns, index=pd.Index(periods, dtype=object), dtype=object)
    table.columns = pd.Index(list(columns), tupleize_cols=False)
    return table


def total(values: Sequence[Any]) -> Any:
    """Return the sum of the known values; None where none is known."""
    numbers = [value for value in values if value is not None]
    return sum(numbers[1:], numbers[0]) if numbers else None


def shares(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each value as a fraction of its period's sum over the columns; unknown where that is 0."""
    totals = [total(tuple(row)) for row in frame.itertuples(index=False, name=None)]
    fractions = frame.copy()
    for column in frame.columns:
        fractions[column] = pd.Series(
            [
                None if value is None or not total else float(value) / float(total)
                for value, total in zip(frame[column], totals, strict=True)
            ],
            index=frame.index,
            dtype=object,
        )
    return fractions


def cumulated(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the running sum of each column; an unknown period is a gap that adds nothing."""
    sums = frame.copy()
    for column in frame.columns:
        sums[column] = pd.Series(running(list(frame[column])), index=frame.index, dtype=object)
    return sums


def running(values: Sequence[Any]) -> list[Any]:
    """Return the running sum; an unknown value is unknown there, and adds nothing."""
    so_far: Any = 0
    sums: list[Any] = []
    for value in values:
        so_far += 0 if value is None else value
        sums.append(None if value is None else so_far)
    return sums


def aligned(values: Sequence[Any], length: int) -> list[Any]:
    """Return the values of another range beside those of this one: the first with the first, and so on."""
    return [*values[:length], *([None] * (length - len(values)))]


WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def by_weekday(periods: Sequence[Any], values: Sequence[Number | None]) -> list[list[float | None]]:
    """Return the mean of the known hours for each weekday (Monday first) and hour of the day, in UTC."""
    hours = pd.DataFrame(
        [
            (period.weekday(), period.hour, float(value))
            for period, value in zip(periods, values, strict=True)
            if value is not None
        ],
        columns=["weekday", "hour", "value"],
    )
    table = hours.pivot_table(index="weekday", columns="hour", values="value", aggfunc="mean")
    table = table.reindex(index=range(7), columns=range(24))
    return [[None if pd.isna(cell) else float(cell) for cell in row] for row in table.to_numpy()]
