"""Answer a state of the page: read what it asks for, name the series, and say what is not known."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from console.data.explore import frames, names, shapes
from console.data.explore.measures import DIRECTION_LABELS, DIRECTIONS, Measure, catalogue
from console.data.explore.question import period_of
from console.ui import escape, format
from console.views.explore import events, quality
from console.views.explore.reading import Reading, RunningMonth, read_range
from console.views.explore.series import Answer, Series
from console.views.explore.state import State
from metering.catalogue import own_meters

OTHER = "Other"
UNRATED = RunningMonth()
TIMES = ("line", "bar", "area", "share", "cumulative")  # looks with time from left to right


def read(connection: Connection, state: State, at: datetime, running_month: RunningMonth = UNRATED) -> Answer:
    """Return the answer to the page's question at `at`, in UTC."""
    today = at.date()
    question = state.question(today, catalogue(own_meters.by_name(connection)))
    reading = read_range(connection, question, today, running_month)
    before = _read_before(connection, state, reading, today)
    series = _series(connection, state, reading, before)
    chart_events = events.read(connection, reading.question, reading.deployments)
    return Answer(
        reading.question.grain,
        reading.periods,
        _transformed(state.look, series),
        running=_running(reading, today),
        quality=quality.read(connection, reading, today),
        periods_before=before.periods if before else (),
        allowance=running_month.allowance,
        notes=[*reading.notes, *_notes(state, reading, series)],
        events=chart_events if state.look in TIMES else None,
    )


def _read_before(connection: Connection, state: State, reading: Reading, today: date) -> Reading | None:
    """Return what is compared with: the same groups in the range that the state names."""
    compared = state.compared(today)
    if compared is None:
        return None
    first, last = compared
    if reading.question.measures[0].kind == "money":
        first = first.replace(day=1)
    question = reading.question.moved(first, last)
    if question.by != "none":
        question = question.about(reading.labels, reading.groups > len(reading.labels))
    return read_range(connection, question, today, UNRATED)


def _series(connection: Connection, state: State, reading: Reading, before: Reading | None) -> list[Series]:
    own = [label for label in reading.labels if label not in (None, "")]
    group_names = _names(connection, reading.question.by, own)
    columns = [_series_of(state, reading, before, column, group_names) for column in reading.values.columns]
    series = [item for item in columns if not _is_empty_currency(item)]
    return _by_direction(state, series) if state.by == "direction" else series


def _is_empty_currency(series: Series) -> bool:
    return series.unit == "money" and all(value is None for value in series.values)


def _names(connection: Connection, by: str, labels: Sequence[Any]) -> Mapping[Any, str]:
    if by == "organization":
        named = names.organizations(connection, labels)
        return {label: f"{escape.short(named.get(label, 'Organization'), 40)} · {label}" for label in labels}
    if by == "project":
        named = names.projects(connection, labels)
        return {label: escape.project(label, named.get(label, "Project")) for label in labels}
    return {label: escape.short(str(label), 60) for label in labels}


def _series_of(
    state: State, reading: Reading, before: Reading | None, column: Any, group_names: Mapping[Any, str]
) -> Series:
    name, label = column
    measure, currency = next(item for item in reading.question.measures if item.name == name), ""
    if measure.kind == "money":
        label, currency = label
    is_rest = label is frames.OTHER and reading.question.by != "none"
    rest = f"{OTHER} ({reading.groups - len(reading.labels):,})" if state.by != "device" else OTHER
    group = rest if is_rest else group_names.get(label, "")
    several = len(reading.question.measures) > 1 or not group
    parts = [group, measure.label if several else "", currency if currency and several else ""]
    values = list(reading.values[column])
    return Series(
        " · ".join(filter(None, parts)),
        measure.unit,
        values,
        currency,
        _before(before, column, len(values)),
        None if is_rest else _link(state, measure, label),
        is_rest,
    )


def _before(before: Reading | None, column: Any, length: int) -> list[Any] | None:
    if before is None:
        return None
    if column not in before.values.columns:
        return [None] * length
    return shapes.aligned(list(before.values[column]), length)


def _link(state: State, measure: Measure, label: Any) -> tuple[str, dict[str, str]] | None:
    if state.by == "project":
        meter = measure.name if measure.kind != "money" else "mqtt_inbound"
        return "project", {"project": str(label), "meter": meter}
    if state.by == "organization":
        filters = replace(state.filters, organizations=(label,))
        return "explore", replace(state, by="project", filters=filters).query()
    if state.by == "tier":
        filters = replace(state.filters, tiers=(str(label),))
        return "explore", replace(state, by="organization", filters=filters).query()
    if len(state.meters) > 1:
        return "explore", replace(state, by="organization", meters=(measure.name,)).query()
    return None


def _by_direction(state: State, series: Sequence[Series]) -> list[Series]:
    """Add up what comes in and what goes out, counts and bytes apart; a meter without a direction is left."""
    groups: dict[tuple[str, str], list[Series]] = {}
    for name, item in zip(state.meters, series, strict=False):
        if name in DIRECTIONS:
            groups.setdefault((DIRECTIONS[name], item.unit), []).append(item)
    return [
        Series(
            DIRECTION_LABELS[direction] + (f" · {unit}" if len({u for _, u in groups}) > 1 else ""),
            unit,
            _sums([item.values for item in group]),
            before=_sums([item.before or [] for item in group]) if group[0].before is not None else None,
        )
        for (direction, unit), group in groups.items()
    ]


def _sums(series_values: Sequence[Sequence[Any]]) -> list[Any]:
    return [shapes.total(values) for values in zip(*series_values, strict=True)]


def _transformed(look: str, series: Sequence[Series]) -> list[Series]:
    """Return the series as their look needs them: shares of each period, or running sums."""
    if look not in ("share", "cumulative") or not series:
        return list(series)
    frame = pd.DataFrame({number: item.values for number, item in enumerate(series)}, dtype=object)
    frame = shapes.shares(frame) if look == "share" else shapes.cumulated(frame)
    result = []
    for number, item in enumerate(series):
        before = shapes.running(item.before) if look == "cumulative" and item.before is not None else None
        shaped = replace(item, values=list(frame[number]), before=before)
        result.append(replace(shaped, unit="share", currency="") if look == "share" else shaped)
    return result


def _running(reading: Reading, today: date) -> int:
    if reading.question.grain == "hour":
        return 1 if reading.question.last >= today else 0
    running = period_of(today, reading.question.grain)
    return sum(1 for period in reading.periods if period == running)


def _notes(state: State, reading: Reading, series: Sequence[Series]) -> list[str]:
    notes = []
    unknown = sum(
        1 for number in range(len(reading.periods)) if any(item.values[number] is None for item in series)
    )
    if unknown and state.look == "cumulative":
        notes.append(
            f"A sum over unknowns: {format.many(unknown, reading.question.grain)} of"
            f" {len(reading.periods):,} are not known for every series and add nothing."
        )
    without = [m.label for m in reading.question.measures if m.name not in DIRECTIONS]
    if state.by == "direction" and without:
        notes.append(f"{', '.join(without)} has no direction and is left out.")
    if any(not m.adds_up for m in reading.question.measures):
        notes.append("Of a meter of which the largest counts, a sum over projects or periods is the largest.")
    if state.look == "cumulative" and any(m.kind == "gauge" for m in reading.question.measures):
        notes.append("A level does not add up over time: its running sum says little.")
    return notes
