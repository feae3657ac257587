"""Results of PostgreSQL as frames: a row for each measure, label and period."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from console.data.explore.measures import Measure

OTHER = None  # the label of the groups that have no series of their own
COLUMNS = ("measure", "label", "period", "ends", "rows", "value", "known", "earlier")
_NOTHING = (0, 0, 0, 0)  # rows, value, known, earlier


@dataclass(frozen=True)
class GroupedResult:
    """A result of PostgreSQL, by measure, label and period.

    `frame` has a row for each measure, label and period: `measure, label, period, ends, rows, value, known,
    earlier`, with None for what is unknown. `labels` are in order of their size, `groups` is how many there
    are. The periods from `open` on are not sealed yet, None if all are.
    """

    frame: pd.DataFrame
    labels: list[Any]
    groups: int
    open: date | None


def sizes(frame: pd.DataFrame, measure: Measure) -> dict[Any, int | None]:
    """Return each label's value over the range as `sql.valued` does: None where it is unknown."""
    rows = [row for row in _tuples(frame) if row[0] == measure.name]
    last = max((ends for _, _, _, ends, *_ in rows), default=None)
    values: dict[Any, list[int]] = {label: [] for _, label, *_ in rows}
    for _, label, _, ends, _, value, *_ in rows:
        if value is not None and (measure.kind != "gauge" or ends == last):
            values[label].append(value)
    add = sum if measure.adds_up else max
    return {label: add(numbers) if numbers else None for label, numbers in values.items()}


def rest(total: pd.DataFrame, frame: pd.DataFrame, measures: Sequence[Measure]) -> pd.DataFrame:
    """Return the total less the series of `frame`, as the label OTHER; unknown where nothing is left.

    Unknown too for a meter of which the largest counts: the total does not say whose it was.
    """
    adding = {measure.name for measure in measures if measure.adds_up}
    sums: dict[tuple[str, date], tuple[int, int, int, int]] = {}
    for measure, _, period, _, *numbers in _tuples(frame):
        rows, value, known_days, earlier = sums.get((measure, period), _NOTHING)
        own_rows, own_value, own_known_days, own_earlier = numbers
        sums[measure, period] = (
            rows + own_rows,
            value + (own_value or 0),
            known_days + own_known_days,
            earlier + own_earlier,
        )
    records = []
    for measure, _, period, ends, rows, value, known_days, earlier in _tuples(total):
        less_rows, less_value, less_known_days, less_earlier = sums.get((measure, period), _NOTHING)
        is_known = known_days > less_known_days and measure in adding
        remaining = (value or 0) - less_value if is_known else None
        counts = (known_days - less_known_days, earlier - less_earlier)
        records.append((measure, OTHER, period, ends, rows - less_rows, remaining, *counts))
    return pd.DataFrame(records, columns=list(COLUMNS), dtype=object)


def _tuples(frame: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Yield the rows in the order of `COLUMNS`: a dict for each takes ten times as long."""
    return frame[list(COLUMNS)].itertuples(index=False, name=None)


def long(rows: Any, measures: Sequence[Measure]) -> pd.DataFrame:
    """Return a row for each measure, label and period; values are Python integers or None."""
    records = [
        (measure.name, row[0], row[1], row[2], int(row[3]), *_numbers(row, i))
        for row in rows
        for i, measure in enumerate(measures)
    ]
    return pd.DataFrame(records, columns=list(COLUMNS), dtype=object)


def _numbers(row: Any, number: int) -> tuple[int | None, int, int]:
    value, known_days, earlier = row[4 + 3 * number : 7 + 3 * number]
    return (int(value) if value is not None and known_days else None), int(known_days or 0), int(earlier or 0)
