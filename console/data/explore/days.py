"""Counters and gauges by day, week or month, in total or by organization, tier or project."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pandas as pd
from sqlalchemy import Connection, text

from console.data.explore import months, sql
from console.data.explore.frames import OTHER, GroupedResult, long, rest, sizes
from console.data.explore.question import Question

LABELS = {"none": "''", "organization": "organization_id", "tier": "tier", "project": "project_id"}
OPEN_DAYS = 7  # that are read from the hours, where a seal is late
_EVERYBODY = text("SELECT fleetmeter_unscoped()")  # whether the session sees every organization
_NEWEST = text("SELECT max(date) FROM organization_days WHERE date <= :last")


def read(connection: Connection, question: Question, today: date) -> GroupedResult:
    """Answer a question about counters and gauges by day or longer, as of `today`."""
    parameters = question.parameters() | {"today": today, "top": question.top}
    first_open_day = first_open(connection, question, today)
    parameters |= open_from(first_open_day) | {"everybody": connection.scalar(_EVERYBODY)}
    if question.by == "project":
        return _largest_and_rest(connection, question, parameters)
    if first_open_day:
        parameters["open_sums"] = _open_sums(connection, question, parameters)
    if question.by == "organization" and all(measure.adds_up for measure in question.measures):
        return _largest_and_rest(connection, question, parameters)
    label, days = LABELS[question.by], _days(question, question.by, parameters)
    if question.by == "tier" and (whole := _all_tiers(connection, question, days, parameters)):
        return whole
    labels, groups = [""], 1
    if question.by != "none":
        ranking = _ranking(question, days, first_open_day)
        labels, groups = top(connection, question, ranking.statement, parameters | ranking.parameters)
        parameters["labels"] = labels
        label = f"CASE WHEN {label} = ANY(:labels) THEN {label} END"
    rows = connection.execute(text(sql.grouped(days, question.measures, label, question.grain)), parameters)
    return GroupedResult(long(rows, question.measures), labels, groups, first_open_day)


def _ranking(question: Question, days: Sequence[str], first_open_day: date | None) -> months.Ranking:
    if question.by == "organization":
        return months.ranked(question, first_open_day, filters(question))
    return months.Ranking(sql.ranked(days, question.measures[0], LABELS[question.by]), {})


def _all_tiers(
    connection: Connection, question: Question, days: Sequence[str], parameters: dict[str, Any]
) -> GroupedResult | None:
    """Answer by tier in one reading; None where only some tiers have a series of their own."""
    if question.labels is not None:
        return None
    rows = connection.execute(text(sql.grouped(days, question.measures, "tier", question.grain)), parameters)
    frame = long(rows, question.measures)
    by_label = sizes(frame, question.measures[0])
    if len(by_label) > question.top or OTHER in by_label:
        return None
    labels = sorted(by_label, key=lambda label: (by_label[label] is None, -(by_label[label] or 0), label))
    return GroupedResult(frame, labels, len(labels), parameters["open"])


def first_open(connection: Connection, question: Question, today: date) -> date | None:
    """Return the first day of the range after the last one that is sealed for anybody."""
    newest = connection.scalar(_NEWEST, {"last": today})
    first = max(question.first, today - timedelta(days=OPEN_DAYS - 1))
    first = max(first, newest + timedelta(days=1)) if newest else first
    return first if first <= min(question.last, today) else None


def open_from(first_open_day: date | None) -> dict[str, Any]:
    """Return the parameters of the days that are not sealed: the first of them, and its first instant."""
    return {
        "open": first_open_day,
        "open_at": first_open_day and datetime.combine(first_open_day, time(), UTC),
    }


def _days(question: Question, by: str, parameters: dict[str, Any]) -> list[str]:
    """Return SQL of the days, sealed and open, that tell apart what `by` says: the open ones are sums.

    Of a question by project the open days are read from the hours.
    """
    names = filters(question)
    sealed = _sealed(question, by, names, everybody=bool(parameters["everybody"]))
    if not parameters["open"]:
        return [sealed]
    if question.by == "project":
        return [sealed, sql.open_days(question.measures, names)]
    # Those on top alone are fewer organizations than the sums were made of.
    some = [name for name in names if (name, question.by) == ("organizations", "organization")]
    return [sealed, sql.of_sums(question.measures, sql.where(some))]


def _sealed(question: Question, by: str, names: Sequence[str], *, everybody: bool) -> str:
    condition = sql.where(names)
    if "projects" in names:
        return sql.of_projects(question.measures, condition)
    if everybody and by != "organization" and "organizations" not in names:
        return sql.of_tiers(question.measures, condition)
    return sql.of_organizations(question.measures, condition)


def _open_sums(connection: Connection, question: Question, parameters: dict[str, Any]) -> str:
    """Return the open days as JSON: a row for each tier and day, or organization, not for each project."""
    statement = sql.open_sums(question.measures, filters(question), question.by)
    return str(connection.scalar(text(statement), parameters))


def filters(question: Question) -> list[str]:
    """Return the names of the filters that are set."""
    return [name for name in ("organizations", "tiers", "projects") if getattr(question.filters, name)]


def top(
    connection: Connection, question: Question, statement: str, parameters: dict[str, Any]
) -> tuple[list[Any], int]:
    """Return the labels that have a series of their own, and how many labels there are."""
    if question.labels is not None:
        return list(question.labels), len(question.labels) + question.rest
    rows = connection.execute(text(statement), parameters).all()
    return [row.label for row in rows], rows[0].labels if rows else 0


def _largest_and_rest(
    connection: Connection, question: Question, parameters: dict[str, Any]
) -> GroupedResult:
    """Rank by the summaries of months, read the days of those on top, and take them off the total."""
    first_open_day = parameters["open"]
    ranking = months.ranked(question, first_open_day, filters(question))
    labels, groups = top(connection, question, ranking.statement, parameters | ranking.parameters)
    whole = _whole(connection, question, parameters)
    own, label = _own(question, labels), LABELS[question.by]
    parameters |= own.parameters() | {"ends": sorted(set(whole["ends"]))}
    statement = sql.grouped(
        _days(own, own.by, parameters), own.measures, label, own.grain, sql.PARAMETER_LAST_DAYS
    )
    frame = long(connection.execute(text(statement), parameters), question.measures)
    if groups > len(labels):
        frame = pd.concat([frame, rest(whole, frame, question.measures)], ignore_index=True)
    return GroupedResult(frame, labels, groups, first_open_day)


def _own(question: Question, labels: Sequence[Any]) -> Question:
    """Return the question about these projects, or organizations, alone; no id is 0."""
    only = tuple(labels) or (0,)
    if question.by == "project":
        return replace(question, filters=replace(question.filters, projects=only))
    return replace(question, filters=replace(question.filters, organizations=only))


def _whole(connection: Connection, question: Question, parameters: dict[str, Any]) -> pd.DataFrame:
    """Return the total of all groups, which says how much is left beside those on top."""
    days = _days(question, "none", parameters)
    statement = sql.grouped(days, question.measures, "''", question.grain)
    return long(connection.execute(text(statement), parameters), question.measures)
