"""The running day so far: drawn dashed after the sealed days."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection

from console.data.queries import projects
from console.data.queries.rows import Row
from metering.catalogue.meters import COUNTERS, GAUGES
from metering.catalogue.periods import Day


def read(connection: Connection, project_id: int, day: Day) -> Row:
    """Return the day like a sealed one: counters summed, levels as last sampled; None for unknown ones."""
    return of_hours(projects.hours(connection, project_id, day), day.date)


def of_hours(hours: Sequence[Row], day: date) -> Row:
    """Return the day so far, summed from its hours."""
    counters = {meter.name: _sum(hours, meter.name) for meter in COUNTERS}
    return {"date": day, "coverage": {}, **counters, **{g.name: _last(hours, g.name) for g in GAUGES}}


def _sum(hours: Sequence[Row], name: str) -> int | None:
    values = [hour[name] for hour in hours if hour[name] is not None]
    return sum(values) if values else None


def _last(hours: Sequence[Row], name: str) -> Any:
    return next((hour[name] for hour in reversed(hours) if hour[name] is not None), None)
