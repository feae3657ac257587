"""Why a period is not measured whole: not sealed, in part, carried over, or not for everybody."""

from datetime import date
from typing import Any

from sqlalchemy import Connection

from console.data.explore import expected
from console.data.explore.question import period_of
from console.views.explore.reading import Reading


def read(connection: Connection, reading: Reading, today: date) -> dict[Any, str]:
    """Return for each period that is not measured whole the reason, in words."""
    grain = reading.question.grain
    if reading.question.measures[0].kind == "money":
        return {}
    if grain == "hour":
        return {}
    expected_counts = _expected_counts(connection, reading, today)
    return {
        period: words
        for period in reading.periods
        if (words := _period_words(reading, period, expected_counts.get(period, 0), today))
    }


def _expected_counts(connection: Connection, reading: Reading, today: date) -> dict[Any, int]:
    question = reading.question
    counts: dict[Any, int] = {}
    is_level = question.measures[0].kind == "gauge"
    for day, projects in expected.read(connection, question, today).items():
        period = period_of(day, question.grain)
        if day < (reading.open or today) and day < today:
            counts[period] = projects if is_level else counts.get(period, 0) + projects
    return counts


def _period_words(reading: Reading, period: Any, expected_count: int, today: date) -> str:
    measured, earlier, rows = reading.coverage.get(period, (0, 0, 0))
    opened = reading.open
    parts = []
    if opened is not None and period_of(opened, reading.question.grain) <= period:
        parts.append("not sealed yet" if period != period_of(today, reading.question.grain) else "running")
    total = max(expected_count, rows)
    noun = "projects" if reading.question.grain == "day" else "project-days"
    if reading.question.measures[0].kind == "gauge":
        noun = "projects"
    if measured < total:
        parts.append(f"{measured:,} of {total:,} {noun} measured")
    if earlier:
        is_counter = reading.question.measures[0].kind == "counter"
        parts.append(f"{earlier:,} {'in part' if is_counter else 'carried over from an earlier day'}")
    return "; ".join(parts)
