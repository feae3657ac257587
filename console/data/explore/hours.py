"""Counters and gauges by hour, from the ledger: for as many project-hours as are read in a second."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, text

from console.data.explore import sql
from console.data.explore.days import LABELS, filters, top
from console.data.explore.frames import GroupedResult, long
from console.data.explore.measures import Measure
from console.data.explore.question import Question
from metering.catalogue import platform
from metering.catalogue.sources import source_info

MOST = 2_000_000  # project-hours of one statement
_PROJECTS = text("""
    SELECT coalesce(sum(projects), 0) FROM organization_days WHERE date = (
        SELECT max(date) FROM organization_days WHERE date <= :last)
        AND (CAST(:organizations AS bigint[]) IS NULL OR organization_id = ANY(:organizations))
        AND (CAST(:tiers AS text[]) IS NULL OR tier = ANY(:tiers))""")


@dataclass(frozen=True)
class Bound:
    """The first day from which on hours are read, and of how many projects."""

    first: date
    projects: int


def bound(connection: Connection, question: Question) -> Bound:
    """Return the part of the range, up to its end, whose hours can be read at once."""
    projects = len(question.filters.projects)
    if not projects:
        projects = max(1, int(connection.scalar(_PROJECTS, question.parameters()) or 0))
    days = max(1, MOST // (24 * projects))
    return Bound(max(question.first, question.last - timedelta(days=days - 1)), projects)


def read(connection: Connection, question: Question, today: date) -> GroupedResult:
    """Answer a question by hour; the range is within the `bound`. Hours without a row are no rows here."""
    parameters = question.parameters() | {"top": question.top}
    hours, label = _hours(question), LABELS[question.by]
    labels: list[Any] = [""]
    groups = 1
    if question.by != "none":
        ranked = sql.ranked([hours], question.measures[0], label)
        labels, groups = top(connection, question, ranked, parameters)
        parameters["labels"] = labels
        label = f"CASE WHEN {label} = ANY(:labels) THEN {label} END"
    values = ", ".join(
        f"{m.aggregate}(v{i}) AS v{i}, sum(k{i}) AS k{i}, 0 AS e{i}" for i, m in enumerate(question.measures)
    )
    statement = f"""SELECT {label} AS label, hour AS period, hour AS ends, sum(rows)::bigint AS rows, {values}
        FROM ({hours}) hours GROUP BY 1, 2 ORDER BY 2"""
    frame = long(connection.execute(text(statement), parameters), question.measures)
    return GroupedResult(frame, labels, groups, today if question.last >= today else None)


def _hours(question: Question) -> str:
    """Owner and tier are those of the sealed day, for an hour that is not sealed today's."""
    values = ", ".join(_value(measure, i) for i, measure in enumerate(question.measures))
    names = sql.where(filters(question))
    return f"""SELECT * FROM (
        SELECT u.project_id, u.hour, u.hour AS date, 1 AS rows, {values},
            coalesce(d.organization_id, p.organization_id) AS organization_id,
            coalesce(d.tier, o.tier) AS tier
        FROM usage_hourly u
        LEFT JOIN daily_stats d ON d.project_id = u.project_id AND d.date >= :first AND d.date <= :last
            AND d.date = (u.hour AT TIME ZONE 'UTC')::date
        LEFT JOIN {platform.PROJECTS} p ON p.id = u.project_id
        LEFT JOIN {platform.ORGANIZATIONS} o ON o.id = coalesce(d.organization_id, p.organization_id)
        WHERE u.hour >= CAST(:first AS timestamptz)
            AND u.hour < CAST(:last AS timestamptz) + interval '1 day'
            AND (CAST(:projects AS bigint[]) IS NULL OR u.project_id = ANY(:projects))) hours
        WHERE {names}"""


def _value(measure: Measure, number: int) -> str:
    """Return SQL: a level is known where it was sampled, a polled source's counter once it was counted."""
    is_known = f"{measure.value('u')} IS NOT NULL"
    if measure.kind == "counter" and source_info(measure.source or "mqtt").is_polled:
        is_known = f"u.measured ? '{measure.source}'"
    return f"CASE WHEN {is_known} THEN {measure.value('u')} END AS v{number}, ({is_known})::int AS k{number}"
