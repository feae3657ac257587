"""Events in the range of a chart: notes on days, and how many deployments each day had."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import pandas as pd
from sqlalchemy import Connection

from console.data.explore.measures import catalogue
from console.data.explore.question import Question
from console.data.queries.rows import Row
from console.data.views import annotations

_DEPLOYMENTS = catalogue()["deployments"]


@dataclass(frozen=True)
class ChartEvents:
    """Notes that touch the UTC days from `first` to `last`, and deployments by day, unknown ones left out."""

    first: date
    last: date
    notes: Sequence[Row] = ()
    deployments: Mapping[date, int] = field(default_factory=dict)


def read(connection: Connection, question: Question, deployments: Mapping[date, int]) -> ChartEvents:
    """Return the events of the projects in the question."""
    filters = question.filters
    notes = annotations.read(
        connection, question.first, question.last, filters.organizations, filters.projects
    )
    return ChartEvents(question.first, question.last, notes, deployments)


def with_deployments(question: Question) -> Question:
    """Return the question with deployments beside its measures, where the chart is by day and marks them."""
    if question.grain != "day" or _DEPLOYMENTS in question.measures:
        return question
    return replace(question, measures=(*question.measures, _DEPLOYMENTS))


def deployments(question: Question, frame: pd.DataFrame) -> dict[date, int]:
    """Return the deployments of each day over all labels of a question `with_deployments`."""
    counts = Counter[date]()
    if question.grain == "day":
        own = frame[(frame["measure"] == _DEPLOYMENTS.name) & frame["value"].notna()]
        for day, count in zip(own["period"], own["value"], strict=True):
            counts[day] += int(count)
    return {day: count for day, count in counts.items() if count}
