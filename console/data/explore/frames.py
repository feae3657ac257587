"""What PostgreSQL answered, as frames: a row for each measure, label and period."""

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
class Grouped:
    """What PostgreSQL answered.

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
    return {label: add(known) if known else None for label, known in values.items()}


def rest(total: pd.DataFrame, frame: pd.DataFrame, measures: Sequence[Measure]) -> pd.DataFrame:
    """Return the total less the series of `frame`, as the label OTHER; unknown where nothing is left.

    Unknown too for a meter of which the largest counts: the total does not say whose it was.
    """
    adding = {measure.name for measure in measures if measure.adds_up}
    taken: dict[tuple[str, date], tuple[int, int, int, int]] = {}
    for measure, _, period, _, *numbers in _tuples(frame):
        rows, value, known, earlier = taken.get((measure, period), _NOTHING)
        own_rows, own_value, own_known, own_earlier = numbers
        taken[measure, period] = (
            rows + own_rows,
            value + (own_value or 0),
            known + own_known,
            earlier + own_earlier,
        )
    left = []
    for measure, _, period, ends, rows, value, known, earlier in _tuples(total):
        less_rows, less_value, less_known, less_earlier = taken.get((measure, period), _NOTHING)
        is_known = known > less_known and measure in adding
        remaining = (value or 0) - less_value if is_known else None
        counts = (known - less_known, earlier - less_earlier)
        left.append((measure, OTHER, period, ends, rows - less_rows, remaining, *counts))
    return pd.DataFrame(left, columns=list(COLUMNS), dtype=object)


def _tuples(frame: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Yield the rows in the order of `COLUMNS`: a dict for each takes ten times as long."""
    return frame[list(COLUMNS)].itertuples(index=False, name=None)


def long(rows: Any, measures: Sequence[Measure]) -> pd.DataFrame:
    """Return a row for each measure, label and period; values are Python integers or None."""
    made = [
        (m.name, row[0], row[1], row[2], int(row[3]), *_numbers(row, i))
        for row in rows
        for i, m in enumerate(measures)
    ]
    return pd.DataFrame(made, columns=list(COLUMNS), dtype=object)


def _numbers(row: Any, number: int) -> tuple[int | None, int, int]:
    value, known, earlier = row[4 + 3 * number : 7 + 3 * number]
    return (int(value) if value is not None and known else None), int(known or 0), int(earlier or 0)
