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
from console.views.explore import happened, quality
from console.views.explore.reading import Beside, Reading, read_range
from console.views.explore.series import Series, Shown, name_of
from console.views.explore.state import State
from metering.catalogue import own_meters

OTHER = "Other"
ALONE = Beside()
TIMES = ("line", "bar", "area", "share", "cumulative")  # looks with time from left to right


def read(connection: Connection, state: State, at: datetime, beside: Beside = ALONE) -> Shown:
    """Return the answer to the page's question at `at`, in UTC."""
    today = at.date()
    question = state.question(today, catalogue(own_meters.by_name(connection)))
    reading = read_range(connection, question, today, beside)
    before = _read_before(connection, state, reading, today)
    series = _series(connection, state, reading, before)
    happened_then = happened.read(connection, reading.question, reading.deployments)
    return Shown(
        reading.question.grain,
        reading.periods,
        _looked(state.look, series),
        running=_running(reading, today),
        quality=quality.read(connection, reading, today),
        periods_before=before.periods if before else (),
        allowance=beside.allowance,
        notes=[*reading.notes, *_notes(state, reading, series)],
        happened=happened_then if state.look in TIMES else None,
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
    return read_range(connection, question, today, ALONE)


def _series(connection: Connection, state: State, reading: Reading, before: Reading | None) -> list[Series]:
    own = [label for label in reading.labels if label not in (None, "")]
    words = _names(connection, reading.question.by, own)
    made = [_one(state, reading, before, column, words) for column in reading.values.columns]
    made = [series for series in made if not _is_empty_currency(series)]
    return _by_direction(state, made) if state.by == "direction" else made


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


def _one(
    state: State, reading: Reading, before: Reading | None, column: Any, words: Mapping[Any, str]
) -> Series:
    name, label = column
    measure, currency = next(one for one in reading.question.measures if one.name == name), ""
    if measure.kind == "money":
        label, currency = label
    is_rest = label is frames.OTHER and reading.question.by != "none"
    rest = f"{OTHER} ({reading.groups - len(reading.labels):,})" if state.by != "device" else OTHER
    group = rest if is_rest else words.get(label, "")
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
        shown = measure.name if measure.kind != "money" else "mqtt_inbound"
        return "project", {"project": str(label), "meter": shown}
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
    for name, one in zip(state.meters, series, strict=False):
        if name in DIRECTIONS:
            groups.setdefault((DIRECTIONS[name], one.unit), []).append(one)
    return [
        Series(
            DIRECTION_LABELS[way] + (f" · {unit}" if len({u for _, u in groups}) > 1 else ""),
            unit,
            [shapes.total(values) for values in zip(*(one.values for one in some), strict=True)],
            before=None
            if some[0].before is None
            else [shapes.total(values) for values in zip(*(one.before or [] for one in some), strict=True)],
        )
        for (way, unit), some in groups.items()
    ]


def _looked(look: str, series: Sequence[Series]) -> list[Series]:
    """Return the series as their look needs them: shares of each period, or running sums."""
    if look not in ("share", "cumulative") or not series:
        return list(series)
    frame = pd.DataFrame({number: one.values for number, one in enumerate(series)}, dtype=object)
    shaped = shapes.shares(frame) if look == "share" else shapes.cumulated(frame)
    made = []
    for number, one in enumerate(series):
        before = shapes.running(one.before) if look == "cumulative" and one.before is not None else None
        one = replace(one, values=list(shaped[number]), before=before)  # noqa: PLW2901 - the same, shaped
        made.append(replace(one, unit="share", currency="") if look == "share" else one)
    return made


def _running(reading: Reading, today: date) -> int:
    if reading.question.grain == "hour":
        return 1 if reading.question.last >= today else 0
    running = period_of(today, reading.question.grain)
    return sum(1 for period in reading.periods if period == running)


def _notes(state: State, reading: Reading, series: Sequence[Series]) -> list[str]:
    notes = []
    unknown = sum(
        1 for number in range(len(reading.periods)) if any(one.values[number] is None for one in series)
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


def table_rows(shown: Shown) -> list[dict[str, Any]]:
    """Return a row for each period, oldest first: `period`, `measured`, `s<n>` of series n, `b<n>` before."""
    rows = []
    for number, period in enumerate(shown.periods):
        row: dict[str, Any] = {
            "period": name_of(period, shown.grain),
            "measured": shown.quality.get(period, "whole"),
        }
        for place, one in enumerate(shown.series):
            row[f"s{place}"] = one.values[number]
            if one.before is not None:
                row[f"b{place}"] = one.before[number]
        rows.append(row)
    return rows
