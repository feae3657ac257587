"""The days of a project that were not measured completely, for one meter, with the reasons."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from console.data.queries.rows import Row
from console.ui.states import STATES
from metering.catalogue.meters import METERS, STORAGE_PARTS, Counter, Gauge
from metering.catalogue.sources import SOURCE_LABELS

LACKING = ("partial", "missing", "carried", "denied", "failed")


def words(trend: Sequence[Row], meter: Counter | Gauge, expected: Callable[[date], bool]) -> dict[str, str]:
    """Return a sentence for each day that is not sealed or not measured completely for `meter`."""
    return {str(row["date"]): sentence for row in trend if (sentence := _day(row, meter, expected))}


def _day(row: Row, meter: Counter | Gauge, expected: Callable[[date], bool]) -> str:
    if row["coverage"] is None:
        return "not sealed" if expected(row["date"]) else ""
    entries = {source: row["coverage"].get(source, {}) for source in _sources(meter)}
    lacking = {source: entry for source, entry in entries.items() if entry.get("state") in LACKING}
    return "; ".join(f"{SOURCE_LABELS[source]}: {state(entry)}" for source, entry in lacking.items())


def _sources(meter: Counter | Gauge) -> list[Any]:
    if meter.source is not None:
        return [meter.source]
    return sorted({METERS[part].source for part in STORAGE_PARTS})


def state(entry: Mapping[str, Any]) -> str:
    """Return how one source was measured: the state, its hours or the age of the level."""
    name = str(entry.get("state", "missing"))
    part = f" {entry['hours']} of {entry['of']} h" if name == "partial" else ""
    age = f", {entry['age_hours']} h old" if "age_hours" in entry else ""
    return STATES.get(name, name) + part + age
