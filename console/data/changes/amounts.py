"""The usage of each project in a period, by its owner and tier of then, and the projects that existed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection, text

from console.data.explore import months, sql
from console.data.explore.measures import Measure
from metering.catalogue import platform
from metering.catalogue.month_sql import first_of_month
from metering.catalogue.projects import METERED_FROM, METERED_UNTIL

DAY = timedelta(days=1)
LONG = 62  # days from which on counters come from the summaries of months
OPEN_DAYS = 7  # that are read from the hours, where a seal is late
Amount = int | None
_NEWEST = text("SELECT max(date) FROM daily_stats WHERE date > :since AND date <= :today")
_PRESENT = text(f"""
    SELECT p.id, p.name, {METERED_FROM} AS since, {METERED_UNTIL} AS until
    FROM {platform.PROJECTS} p WHERE CAST(:projects AS bigint[]) IS NULL OR p.id = ANY(:projects)""")


@dataclass(frozen=True)
class Used:
    """The usage of a project in a period while it had that owner and tier.

    `values` and `known_days` are by measure, in order; a value without any known day is None.
    """

    project: int
    organization: int
    tier: str
    values: tuple[Any, ...]
    known_days: tuple[int, ...]


@dataclass(frozen=True)
class Presence:
    """A project's name, and the UTC days (first, and the one after the last) on which it is metered."""

    name: str
    since: date
    until: date

    def days(self, first: date, last: date) -> int:
        """Return the number of days of the range on which the project is metered."""
        return max((min(self.until, last + DAY) - max(self.since, first)).days, 0)


def read(
    connection: Connection,
    measures: Sequence[Measure],
    first: date,
    last: date,
    today: date,
    projects: Sequence[int] = (),
) -> list[Used]:
    """Return the usage from `first` to `last`, UTC days, both included; `today` is the running day.

    Counters are summed; a gauge is its level on the last day that any project has.
    """
    parameters: dict[str, Any] = {"first": first, "last": last, "today": today, "projects": list(projects)}
    parameters["open"] = opened = _open(connection, first, last, today)
    names = ["projects"] if projects else []
    condition = sql.where(names)
    parts, more = _sealed(measures, first, last if opened is None else opened - DAY, condition)
    if opened is not None:
        parts.append(sql.open_days(measures, names))
        parameters["open_at"] = datetime.combine(opened, time(), UTC)
        parameters["until_at"] = datetime.combine(last + DAY, time(), UTC)
    is_gauge = measures[0].kind == "gauge"
    ends = "WHERE date = ends" if is_gauge else ""
    sums = ", ".join(f"sum(v{i})::numeric, sum(k{i})::bigint" for i in range(len(measures)))
    columns = "project_id, organization_id, tier, date" + "".join(
        f", v{i}, k{i}" for i in range(len(measures))
    )
    every = " UNION ALL ".join(f"SELECT {columns} FROM ({part}) part" for part in parts)
    statement = f"""SELECT project_id, organization_id, tier, {sums} FROM (
        SELECT *, max(date) OVER () AS ends FROM ({every}) days) dated {ends} GROUP BY 1, 2, 3"""
    return [_used(row, len(measures)) for row in connection.execute(text(statement), parameters | more)]


def _used(row: Any, measures: int) -> Used:
    known_days = tuple(int(row[4 + 2 * i] or 0) for i in range(measures))
    values = (row[3 + 2 * i] for i in range(measures))
    amounts = (
        int(value) if value is not None and days else None
        for value, days in zip(values, known_days, strict=True)
    )
    return Used(row[0], row[1], row[2], tuple(amounts), known_days)


def _open(connection: Connection, first: date, last: date, today: date) -> date | None:
    """Return the first day of the range that nobody has sealed yet, None if there is none."""
    oldest = today - (OPEN_DAYS - 1) * DAY
    if last < oldest:
        return None
    newest = connection.scalar(_NEWEST, {"today": today, "since": oldest - DAY})
    since = max(first, oldest, newest + DAY if newest else first)
    return since if since <= min(last, today) else None


def _sealed(
    measures: Sequence[Measure], first: date, last: date, condition: str
) -> tuple[list[str], dict[str, Any]]:
    """Return the statements that read sealed days, and their parameters.

    Long ranges of counters: whole months from their summaries, the days at the edges added or subtracted.
    """
    if measures[0].kind == "gauge" or (last - first).days < LONG:
        return [sql.of_projects(measures, condition)], {}
    whole, edges = months.split(first, last)
    parts, parameters = [_months(measures, condition)], dict[str, Any](months=whole)
    for number, (since, until, sign) in enumerate(edges):
        days = sql.of_projects(measures, condition)
        days = days.replace(":first", f":first_{number}").replace(":last", f":last_{number}")
        signed = ", ".join(f"{sign} * v{i} AS v{i}, {sign} * k{i} AS k{i}" for i in range(len(measures)))
        parts.append(f"SELECT project_id, organization_id, tier, date, {signed} FROM ({days}) edge")
        parameters |= {f"first_{number}": since, f"last_{number}": until}
    return parts, parameters


def _months(measures: Sequence[Measure], condition: str) -> str:
    values = ", ".join(
        f"CASE WHEN {days_column} > 0 THEN {m.sum_sql} END AS v{i}, {days_column} AS k{i}"
        for i, m in enumerate(measures)
        for days_column in ("days" if m.kind == "own" else m.known_column,)
    )
    return f"""SELECT project_id, organization_id, tier, month AS date, {values} FROM project_months
        WHERE month = ANY(:months) AND {condition}"""


def money(
    connection: Connection,
    measures: Sequence[Measure],
    first: date,
    last: date,
    currency: str,
    projects: Sequence[int] = (),
) -> list[Used]:
    """Return the billed amounts of closed months that begin in the range, in that currency."""
    sums = ", ".join(f"sum({measure.charge}), count(*)" for measure in measures)
    condition = sql.where(["projects"] if projects else [])
    rows = connection.execute(
        text(f"""SELECT project_id, organization_id, tier, {sums} FROM monthly_stats
            WHERE {first_of_month()} >= :first AND {first_of_month()} <= :last
                AND currency = :currency AND {condition} GROUP BY 1, 2, 3"""),
        {"first": first.replace(day=1), "last": last, "currency": currency, "projects": list(projects)},
    )
    size = range(len(measures))
    return [
        Used(
            row[0],
            row[1],
            row[2],
            tuple(row[3 + 2 * i] for i in size),
            tuple(int(row[4 + 2 * i]) for i in size),
        )
        for row in rows
    ]


def currencies(connection: Connection, first: date, last: date) -> list[str]:
    """Return the currencies of the bills of months that begin in the range, in alphabetical order."""
    rows = connection.execute(
        text(f"""SELECT DISTINCT currency FROM monthly_stats
            WHERE {first_of_month()} >= :first AND {first_of_month()} <= :last ORDER BY 1"""),
        {"first": first.replace(day=1), "last": last},
    )
    return [row.currency for row in rows]


def presence(connection: Connection, projects: Sequence[int] = ()) -> dict[int, Presence]:
    """Return the projects that the session sees, or those of these ids, with their metered days."""
    rows = connection.execute(_PRESENT, {"projects": list(projects) or None})
    return {row.id: Presence(row.name or "", row.since.date(), _date(row.until)) for row in rows}


def _date(until: Any) -> date:
    return date.max if until is None else until.date()
