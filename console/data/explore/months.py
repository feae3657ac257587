"""Rank projects and organizations over years: whole months from their summaries, the edges day by day."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from console.data.explore import sql
from console.data.explore.measures import Measure
from console.data.explore.question import Question, period_of

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Ranking:
    """A statement that ranks, and its parameters beside those of the question."""

    statement: str
    parameters: dict[str, Any]


def ranked(question: Question, first_open_day: date | None, names: Sequence[str]) -> Ranking:
    """Return how to rank projects, or organizations, by the first measure over the range.

    For organizations the parameters must have `open_sums` where days are open.
    """
    return _with(sql.ranked, question, first_open_day, names)


def valued(question: Question, first_open_day: date | None, names: Sequence[str]) -> Ranking:
    """Return how to find the value of the first measure over the range for each project."""
    return _with(sql.valued, question, first_open_day, names)


def _with(
    make: Callable[[Sequence[str], Measure, str], str],
    question: Question,
    first_open_day: date | None,
    names: Sequence[str],
) -> Ranking:
    measure = question.measures[0]
    by, read_days, read_open = _source(question, names)
    live = [read_open] if first_open_day else []
    # The largest value of a month cannot be taken apart into its days: they are read one by one.
    if "projects" in names or not measure.adds_up:
        return Ranking(make([read_days([measure], sql.where(names)), *live], measure, by), {})
    last = min(question.last, first_open_day - DAY) if first_open_day else question.last
    whole, edges = split(question.first, last)
    condition, parameters = sql.where(names), dict[str, Any]()
    parts = [_months(measure, by, condition)] if whole else []
    if whole:
        parameters["months"] = whole
    for number, (first, until, sign) in enumerate(edges):
        parts.append(_edge(read_days([measure], condition), by, number, sign))
        parameters |= {f"edge_first_{number}": first, f"edge_last_{number}": until}
    if measure.kind == "gauge":
        statements = [*_without_levels(parts, by), _newest_levels(read_days, measure, by, names)]
        return Ranking(make([*statements, *live], measure, by), parameters)
    columns = f"{by}, NULL::date AS date, rows, v0, k0"
    statements = [f"SELECT {columns} FROM ({part}) part" for part in (*parts, *live)]
    return Ranking(make(statements, replace(measure, kind="counter"), by), parameters)


def _without_levels(parts: Sequence[str], by: str) -> list[str]:
    """Return SQL of who was there: of a level only that of the range's last day counts."""
    columns = f"{by}, NULL::date AS date, rows, NULL::numeric AS v0, 0 AS k0"
    return [f"SELECT {columns} FROM ({part}) part" for part in parts]


def _newest_levels(read_days: Callable[..., str], measure: Measure, by: str, names: Sequence[str]) -> str:
    newest = f"""SELECT max(s.date) FROM organization_days s
        WHERE s.date >= :first AND s.date <= :last AND {sql.where(names, "s.")}"""
    levels = read_days([measure], f"{sql.where(names)} AND date = ({newest})")
    return f"SELECT {by}, date, 0 AS rows, v0, k0 FROM ({levels}) levels"


def _source(question: Question, names: Sequence[str]) -> tuple[str, Callable[..., str], str]:
    """Return the column of the labels, and how their sealed and their open days are read."""
    measure = question.measures[0]
    if question.by != "organization":
        return "project_id", sql.of_projects, sql.open_days([measure], names)
    read_days = sql.of_projects if "projects" in names else sql.of_organizations
    return "organization_id", read_days, sql.of_sums([measure])


def split(first: date, last: date) -> tuple[list[date], list[tuple[date, date, int]]]:
    """Return the months to add, and ranges of days to add (1) or take off (-1), that make up the range.

    Of a month of which more than half is in the range, what is not is taken off. The last month's sums end
    with the last day that is sealed: there is nothing to take off behind it.
    """
    whole: list[date] = []
    edges: list[tuple[date, date, int]] = []
    for month in _months_between(first, last):
        end = (month + 31 * DAY).replace(day=1) - DAY
        since, until = max(first, month), min(last, end)
        inside = (until - since).days + 1
        if 2 * inside > (end - month).days + 1:
            whole.append(month)
            edges += [(a, b, -1) for a, b in ((month, since - DAY), (until + DAY, end)) if a <= b]
        else:
            edges.append((since, until, 1))
    return whole, edges


def _months_between(first: date, last: date) -> Iterator[date]:
    month = period_of(first, "month")
    while month <= last:
        yield month
        month = (month + 31 * DAY).replace(day=1)


def _months(measure: Measure, by: str, condition: str) -> str:
    known_days = "days" if measure.kind == "own" else measure.known_column
    value = f"CASE WHEN {known_days} > 0 THEN {measure.sum_sql} END AS v0, {known_days} AS k0"
    if measure.kind == "gauge":  # a month has no sum of levels
        value = "NULL::numeric AS v0, 0 AS k0"
    return f"""SELECT {by}, days AS rows, {value}
        FROM project_months WHERE month = ANY(:months) AND {condition}"""


def _edge(days: str, by: str, number: int, sign: int) -> str:
    days = days.replace(":first", f":edge_first_{number}").replace(":last", f":edge_last_{number}")
    return f"SELECT {by}, {sign} * rows AS rows, {sign} * v0 AS v0, {sign} * k0 AS k0 FROM ({days}) edge"
