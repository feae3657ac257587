"""Read what the page asks for, for one range: values by series and period, and what is known of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from console.data.explore import days, devices, hours, money, shapes
from console.data.explore.frames import OTHER, GroupedResult
from console.data.explore.question import Question
from console.ui import format
from console.views.explore import events
from metering.running.spend import Spend


@dataclass
class Reading:
    """What was read for one range: wide values by (measure, label), and what is known of each period."""

    question: Question
    periods: list[Any]
    values: pd.DataFrame
    labels: list[Any]
    groups: int
    coverage: dict[Any, tuple[int, int, int]] = field(default_factory=dict)  # known, earlier, rows
    open: date | None = None
    notes: list[str] = field(default_factory=list)
    deployments: Mapping[date, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RunningMonth:
    """The month that runs: its charges as they are rated, and what the only project may use."""

    spends: Sequence[Spend] = ()
    rated_at: datetime | None = None
    allowance: tuple[float, str] | None = None


def read_range(
    connection: Connection, question: Question, today: date, running_month: RunningMonth
) -> Reading:
    """Answer the question as of `today`, a UTC day."""
    if any(measure.kind == "money" for measure in question.measures):
        return _read_money(connection, question, today, running_month)
    notes = []
    if question.by == "device" and (refusal := devices.refusal(question)):
        notes.append(refusal)
        question = replace(question, by="none")
    if question.grain == "hour":
        return _read_hours(connection, question, today, notes)
    if question.by == "device":
        return _read_devices(connection, question, today)
    result = days.read(connection, events.with_deployments(question), today)
    return _reading(question, result, notes, events.deployments(question, result.frame))


def _read_hours(connection: Connection, question: Question, today: date, notes: list[str]) -> Reading:
    bound = hours.bound(connection, question)
    if bound.first > question.first:
        notes.append(
            f"By hour, {format.many(bound.projects, 'project')} can be read from {bound.first} on:"
            " choose days, or filter by a project or an organization."
        )
        question = question.moved(bound.first, question.last)
    return _reading(question, hours.read(connection, question, today), notes, {})


def _read_devices(connection: Connection, question: Question, today: date) -> Reading:
    result, error = devices.read(connection, question, today)
    note = f"Each device's figure is a lower bound: it has at most {error:,} messages more a day."
    whole = days.read(connection, events.with_deployments(replace(question, by="none")), today)
    return _reading(question, result, [note], events.deployments(question, whole.frame))


def _reading(
    question: Question,
    result: GroupedResult,
    notes: list[str],
    deployments: Mapping[date, int],
) -> Reading:
    periods = question.starts()
    values = shapes.wide(result.frame, periods, _columns(question, result.labels, result.groups))
    coverage = _coverage(result.frame)
    return Reading(
        question, periods, values, result.labels, result.groups, coverage, result.open, notes, deployments
    )


def _columns(question: Question, labels: Sequence[Any], groups: int) -> list[tuple[str, Any]]:
    all_labels = [*labels, OTHER] if groups > len(labels) else list(labels)
    return [(measure.name, label) for measure in question.measures for label in all_labels]


def _coverage(frame: pd.DataFrame) -> dict[Any, tuple[int, int, int]]:
    """Return for each period how many project-days are known, partial or carried, and there at all."""
    first = frame["measure"].iloc[0] if len(frame) else None
    own = frame[frame["measure"] == first]
    sums = own.groupby("period", sort=False)[["known", "earlier", "rows"]].sum()
    return {period: (int(k), int(e), int(r)) for period, k, e, r in sums.itertuples(name=None)}


def _read_money(
    connection: Connection, question: Question, today: date, running_month: RunningMonth
) -> Reading:
    measures = tuple(measure for measure in question.measures if measure.kind == "money")
    other_measures = [measure.label for measure in question.measures if measure.kind != "money"]
    by = "none" if question.by == "device" else question.by
    question = replace(question, measures=measures, by=by)
    result = money.read(connection, question)
    month = today.replace(day=1)
    if running_month.spends and question.first <= month <= question.last:
        result = money.with_running(result, running_month.spends, question, month)
    periods = question.starts()
    currencies = list(dict.fromkeys(result.frame["currency"])) or [""]
    labels = [*result.labels, OTHER] if result.groups > len(result.labels) else result.labels
    pairs = list(zip(result.frame["label"], result.frame["currency"], strict=True))
    frame = result.frame.assign(label=pd.Series(pairs, dtype=object))
    columns = [(m.name, (label, currency)) for m in measures for label in labels for currency in currencies]
    values = shapes.wide(frame, periods, columns)
    notes = ["Money is by month: a bill has no days. It is the closed months' bills, corrections included."]
    if other_measures:
        notes.append(f"{', '.join(other_measures)} cannot stand beside money in one chart and is left out.")
    if question.last >= month and running_month.rated_at is not None:
        notes.append(
            f"{month:%Y-%m} is not closed: its charge so far, rated {format.stamp(running_month.rated_at)}."
        )
    elif question.last >= month:
        notes.append(f"{month:%Y-%m} is being rated: refresh the page to see its charge so far.")
    return Reading(question, periods, values, list(result.labels), result.groups, notes=notes)
