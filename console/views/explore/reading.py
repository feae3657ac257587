"""Read what the page asks for, for one range: values by series and period, and what is known of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from console.data.explore import days, devices, hours, money, shapes
from console.data.explore.frames import OTHER, Grouped
from console.data.explore.question import Question
from console.ui import format
from console.views.explore import happened
from metering.running.spend import Spend


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
    deployments: Mapping[date, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Beside:
    """What is read elsewhere: the month that runs as it is rated, and what the only project may use."""

    spends: Sequence[Spend] = ()
    rated_at: datetime | None = None
    allowance: tuple[float, str] | None = None


def read_range(connection: Connection, question: Question, today: date, beside: Beside) -> Reading:
    """Answer the question as of `today`, a UTC day."""
    if any(measure.kind == "money" for measure in question.measures):
        return _read_money(connection, question, today, beside)
    notes = []
    if question.by == "device" and (why := devices.takes(question)):
        notes.append(why)
        question = replace(question, by="none")
    if question.grain == "hour":
        return _read_hours(connection, question, today, notes)
    if question.by == "device":
        return _read_devices(connection, question, today)
    answered = days.read(connection, happened.marked(question), today)
    return _made(question, answered, notes, happened.deployments(question, answered.frame))


def _read_hours(connection: Connection, question: Question, today: date, notes: list[str]) -> Reading:
    bound = hours.bounded(connection, question)
    if bound.first > question.first:
        notes.append(
            f"By hour, {format.many(bound.projects, 'project')} can be read from {bound.first} on:"
            " choose days, or filter by a project or an organization."
        )
        question = question.moved(bound.first, question.last)
    return _made(question, hours.read(connection, question, today), notes, {})


def _read_devices(connection: Connection, question: Question, today: date) -> Reading:
    answered, error = devices.read(connection, question, today)
    note = f"Each device's figure is a lower bound: it has at most {error:,} messages more a day."
    whole = days.read(connection, happened.marked(replace(question, by="none")), today)
    return _made(question, answered, [note], happened.deployments(question, whole.frame))


def _made(
    question: Question,
    answered: Grouped,
    notes: list[str],
    deployments: Mapping[date, int],
) -> Reading:
    periods = question.starts()
    values = shapes.wide(answered.frame, periods, _columns(question, answered.labels, answered.groups))
    known = _known(answered.frame)
    return Reading(
        question, periods, values, answered.labels, answered.groups, known, answered.open, notes, deployments
    )


def _columns(question: Question, labels: Sequence[Any], groups: int) -> list[tuple[str, Any]]:
    every = [*labels, OTHER] if groups > len(labels) else list(labels)
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
    labels = [*answered.labels, OTHER] if answered.groups > len(answered.labels) else answered.labels
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
