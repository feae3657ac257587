"""Answer a state of the page: read what it asks for, name the series, and say what is not known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from console.data.explore import days, devices, expected, hours, money, names, shapes
from console.data.explore.measures import DIRECTION_LABELS, DIRECTIONS, Measure, catalogue
from console.data.explore.question import Question, period_of
from console.ui import escape, format
from console.views.explore import happened
from console.views.explore.series import Series, Shown, name_of
from console.views.explore.state import State
from metering.catalogue import own_meters
from metering.running.spend import Spend

OTHER = "Other"
TIMES = ("line", "bar", "area", "share", "cumulative")  # looks with time from left to right
MOST_POINTS = 12_000  # values of one chart


@dataclass
class Reading:
    """What was read for one range: wide values by (measure, label), and what is known of each period."""

    question: Question
    periods: list[Any]
    values: pd.DataFrame
    labels: list[Any]
    groups: int
    known: dict[Any, tuple[int, int, int]] = field(default_factory=dict)  # known, earlier, rows
    open: date | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Beside:
    """What is read elsewhere: the month that runs as it is rated, and what the only project may use."""

    spends: Sequence[Spend] = ()
    rated_at: datetime | None = None
    allowance: tuple[float, str] | None = None


def read(connection: Connection, state: State, at: datetime, beside: Beside = Beside()) -> Shown:
    """Return the answer to the page's question at `at`, in UTC."""
    today = at.date()
    question = state.question(today, catalogue(own_meters.known(connection)))
    reading = _read(connection, question, today, beside)
    before = None
    if (other := state.compared(today)) is not None:
        first = other[0].replace(day=1) if reading.question.measures[0].kind == "money" else other[0]
        moved = reading.question.moved(first, other[1])
        if question.by != "none":
            moved = moved.about(reading.labels, reading.groups > len(reading.labels))
        before = _read(connection, moved, today, Beside())
    series = _series(connection, state, reading, before)
    return Shown(
        reading.question.grain,
        reading.periods,
        _looked(state.look, series),
        running=_running(reading, today),
        quality=_quality(connection, reading, today),
        periods_before=before.periods if before else (),
        allowance=beside.allowance,
        notes=[*reading.notes, *_notes(state, reading, series)],
        happened=happened.read(connection, reading.question, today) if state.look in TIMES else None,
    )


def _read(connection: Connection, question: Question, today: date, beside: Beside) -> Reading:
    notes: list[str] = []
    if any(measure.kind == "money" for measure in question.measures):
        return _read_money(connection, question, today, beside)
    if question.by == "device" and (why := devices.takes(question)):
        notes.append(why)
        question = replace(question, by="none")
    if question.grain == "hour":
        bound = hours.bounded(connection, question)
        if bound.first > question.first:
            notes.append(
                f"By hour, {format.many(bound.projects, 'project')} can be read from {bound.first} on:"
                " choose days, or filter by a project or an organization."
            )
            question = question.moved(bound.first, question.last)
        answered = hours.read(connection, question, today)
    elif question.by == "device":
        answered, error = devices.read(connection, question, today)
        notes.append(f"Each device's figure is a lower bound: it has at most {error:,} messages more a day.")
    else:
        answered = days.read(connection, question, today)
    periods = question.starts()
    values = shapes.wide(answered.frame, periods, _columns(question, answered.labels, answered.groups))
    known = _known(answered.frame)
    return Reading(question, periods, values, answered.labels, answered.groups, known, answered.open, notes)


def _columns(question: Question, labels: Sequence[Any], groups: int) -> list[tuple[str, Any]]:
    every = [*labels, days.OTHER] if groups > len(labels) else list(labels)
    return [(measure.name, label) for measure in question.measures for label in every]


def _known(frame: pd.DataFrame) -> dict[Any, tuple[int, int, int]]:
    """Return for each period how many project-days are known, partial or carried, and there at all."""
    first = frame["measure"].iloc[0] if len(frame) else None
    own = frame[frame["measure"] == first]
    sums = own.groupby("period", sort=False)[["known", "earlier", "rows"]].sum()
    return {period: (int(k), int(e), int(r)) for period, k, e, r in sums.itertuples(name=None)}


def _read_money(connection: Connection, question: Question, today: date, beside: Beside) -> Reading:
    measures = tuple(measure for measure in question.measures if measure.kind == "money")
    left_out = [measure.label for measure in question.measures if measure.kind != "money"]
    by = "none" if question.by == "device" else question.by
    question = replace(question, measures=measures, by=by)
    answered = money.read(connection, question)
    month = today.replace(day=1)
    if beside.spends and question.first <= month <= question.last:
        answered = money.with_running(answered, beside.spends, question, month)
    periods = question.starts()
    currencies = list(dict.fromkeys(answered.frame["currency"])) or [""]
    labels = [*answered.labels, days.OTHER] if answered.groups > len(answered.labels) else answered.labels
    pairs = list(zip(answered.frame["label"], answered.frame["currency"], strict=True))
    frame = answered.frame.assign(label=pd.Series(pairs, dtype=object))
    columns = [(m.name, (label, currency)) for m in measures for label in labels for currency in currencies]
    values = shapes.wide(frame, periods, columns)
    notes = ["Money is by month: a bill has no days. It is the closed months' bills, corrections included."]
    if left_out:
        notes.append(f"{', '.join(left_out)} cannot stand beside money in one chart and is left out.")
    if question.last >= month and beside.rated_at is not None:
        notes.append(
            f"{month:%Y-%m} is not closed: its charge so far, rated {format.stamp(beside.rated_at)}."
        )
    elif question.last >= month:
        notes.append(f"{month:%Y-%m} is being rated: refresh the page to see its charge so far.")
    return Reading(question, periods, values, list(answered.labels), answered.groups, notes=notes)


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
    is_rest = label is days.OTHER and reading.question.by != "none"
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


def _quality(connection: Connection, reading: Reading, today: date) -> dict[Any, str]:
    """Return why a period is not measured whole: not sealed, in part, carried over, or not for everybody."""
    grain = reading.question.grain
    if reading.question.measures[0].kind == "money":
        return {}
    if grain == "hour":
        return {}
    wanted = _expected(connection, reading, today)
    return {
        period: words
        for period in reading.periods
        if (words := _period_words(reading, period, wanted.get(period, 0), today))
    }


def _expected(connection: Connection, reading: Reading, today: date) -> dict[Any, int]:
    question = reading.question
    counts: dict[Any, int] = {}
    is_level = question.measures[0].kind == "gauge"
    for day, projects in expected.read(connection, question, today).items():
        period = period_of(day, question.grain)
        if day < (reading.open or today) and day < today:
            counts[period] = projects if is_level else counts.get(period, 0) + projects
    return counts


def _period_words(reading: Reading, period: Any, wanted: int, today: date) -> str:
    known, earlier, rows = reading.known.get(period, (0, 0, 0))
    opened = reading.open
    parts = []
    if opened is not None and period_of(opened, reading.question.grain) <= period:
        parts.append("not sealed yet" if period != period_of(today, reading.question.grain) else "running")
    counted = max(wanted, rows)
    noun = "projects" if reading.question.grain == "day" else "project-days"
    if reading.question.measures[0].kind == "gauge":
        noun = "projects"
    if known < counted:
        parts.append(f"{known:,} of {counted:,} {noun} measured")
    if earlier:
        is_counter = reading.question.measures[0].kind == "counter"
        parts.append(f"{earlier:,} {'in part' if is_counter else 'carried over from an earlier day'}")
    return "; ".join(parts)


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
