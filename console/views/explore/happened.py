"""What happened in the range of a chart: notes on days, and how many deployments each day had."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from sqlalchemy import Connection

from console.data.explore import days
from console.data.explore.measures import catalogue
from console.data.explore.question import Question
from console.data.queries.rows import Row
from console.data.views import annotations


@dataclass(frozen=True)
class Happened:
    """Notes that touch the UTC days from `first` to `last`, and deployments by day, unknown ones left out."""

    first: date
    last: date
    notes: Sequence[Row] = ()
    deployments: Mapping[date, int] = field(default_factory=dict)


def read(connection: Connection, question: Question, today: date) -> Happened:
    """Return what happened to the projects that are asked for; deployments where the chart is by day."""
    filters = question.filters
    notes = annotations.read(
        connection, question.first, question.last, filters.organizations, filters.projects
    )
    return Happened(question.first, question.last, notes, _deployments(connection, question, today))


def _deployments(connection: Connection, question: Question, today: date) -> dict[date, int]:
    if question.grain != "day":
        return {}
    measure = catalogue()["deployments"]
    total = replace(question, measures=(measure,), by="none", labels=None, rest=False)
    rows: list[dict[Any, Any]] = days.read(connection, total, today).frame.to_dict("records")
    return {row["period"]: int(row["value"]) for row in rows if row["known"] and row["value"]}
