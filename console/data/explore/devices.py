"""The busiest devices of one project, each figure a lower bound; the rest is what the project has besides."""

from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
from sqlalchemy import Connection, text

from console.data.explore import days
from console.data.explore.frames import COLUMNS, OTHER, GroupedResult
from console.data.explore.measures import DIRECTIONS
from console.data.explore.question import Question
from console.data.explore.sql import PERIODS


def refusal(question: Question) -> str:
    """Return why devices cannot be told for this question, in a sentence; empty if they can."""
    if len(question.filters.projects) != 1:
        return "Devices are known by project: filter by one project to see its devices."
    if any(not _is_counted(measure.name) for measure in question.measures):
        return "Of devices, MQTT messages and their payload are known: choose these alone."
    if question.grain == "hour":
        return "Devices are known by day: choose days, weeks or months."
    return ""


def _is_counted(name: str) -> bool:
    return name in DIRECTIONS and name.startswith("mqtt")


def read(connection: Connection, question: Question, today: date) -> tuple[GroupedResult, int]:
    """Return the devices on top by the first measure, and the most that any of them may lack a day."""
    parameters = question.parameters() | {"project": question.filters.projects[0], "top": question.top}
    labels = list(question.labels) if question.labels is not None else _top(connection, question, parameters)
    total = days.read(connection, replace(question, by="none", labels=None, rest=False), today)
    sums = ", ".join(f"sum({measure.name})::bigint" for measure in question.measures)
    rows = connection.execute(
        text(f"""SELECT device, {PERIODS[question.grain]} AS period, max(date), max(error), {sums}
            FROM device_usage_daily WHERE project_id = :project AND date >= :first AND date <= :last
                AND device = ANY(:labels) GROUP BY 1, 2"""),
        parameters | {"labels": labels},
    ).all()
    records = [
        (measure.name, row[0], row[1], row[2], 1, int(row[4 + i]), 1, 0)
        for row in rows
        for i, measure in enumerate(question.measures)
    ]
    records += [
        (*_rest(row, records), row["known"], row["earlier"]) for row in total.frame.to_dict("records")
    ]
    frame = pd.DataFrame(records, columns=list(COLUMNS), dtype=object)
    error = max((int(row[3] or 0) for row in rows), default=0)
    return GroupedResult(frame, labels, len(labels) + 1, total.open), error


def _top(connection: Connection, question: Question, parameters: dict[str, Any]) -> list[str]:
    query = text(f"""SELECT device FROM device_usage_daily
        WHERE project_id = :project AND date >= :first AND date <= :last
        GROUP BY device ORDER BY sum({question.measures[0].name}) DESC, device LIMIT :top""")
    return list(connection.scalars(query, parameters))


def _rest(total: Any, devices: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return what the project has and no device on top; never negative, unknown where the project is."""
    top_sum = sum(row[5] for row in devices if (row[0], row[2]) == (total["measure"], total["period"]))
    value = None if total["value"] is None else max(0, total["value"] - top_sum)
    return total["measure"], OTHER, total["period"], total["ends"], total["rows"], value
