"""Tell how well the days of a page of projects were measured, source by source."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.history import OFF_ON, OWNED_ON
from metering.catalogue.meters import is_zero
from metering.catalogue.periods import Day
from metering.catalogue.projects import INSTALLED_AT, METERED_FROM, METERED_UNTIL
from metering.catalogue.sources import SOURCE_NAMES, SourceName, quoted
from metering.days.coverage import INCOMPLETE_STATES
from metering.days.expected_days import EXPECTED_FROM


@dataclass(frozen=True)
class Cell:
    """One source's part of a project's day.

    `state` is that of the sealed day's coverage (see metering.days.coverage). A day that is not sealed is
    `running`, or `unsealed` once it is over. `detail` is the rest of the coverage: hours, of,
    sampled_at, reason; for a level that was carried over, `age_hours` at the day's end.
    """

    project_id: int
    project: str
    organization_id: int
    date: date
    source: SourceName
    state: str
    detail: dict[str, Any]


_ZERO = " OR ".join(f"(source.name = '{name}' AND {is_zero(name, 'd')})" for name in SOURCE_NAMES)

# The page is selected first, so that only the days of its projects are read, by the key of daily_stats. A
# project's first day ever, which is looked up in every month, is only read if it may lie in the range.
MATRIX = text(f"""
    WITH page AS MATERIALIZED (
        SELECT p.id, p.name, p.organization_id, p.created_at, p.deactivated_at, p.is_active
        FROM {platform.PROJECTS} p
        WHERE p.id > :after AND (CAST(:only AS bigint[]) IS NULL OR p.id = ANY(:only))
            AND p.created_at < :until AND {METERED_UNTIL} > :since
        ORDER BY p.id LIMIT :most
    ), expected AS (
        SELECT p.id, p.name, p.organization_id, day.day::date AS date, day.day + interval '1 day' AS ends
        FROM page p CROSS JOIN LATERAL generate_series(
            CASE WHEN greatest({METERED_FROM}, {INSTALLED_AT}) <= CAST(:since AS timestamptz)
                THEN :since ELSE greatest(CAST(:since AS timestamptz), {EXPECTED_FROM}) END,
            least(CAST(:until AS timestamptz), {METERED_UNTIL},
                date_trunc('day', CAST(:at AS timestamptz), 'UTC') + interval '1 day') - interval '1 day',
            interval '1 day') AS day (day)
        WHERE NOT {OFF_ON.format(date="day.day::date")}
            AND {OWNED_ON.format(ends="(day.day + interval '1 day')")}
    )
    SELECT e.id, e.name, e.organization_id, e.date, source.name,
        CASE WHEN d.project_id IS NULL AND e.ends > :at THEN 'running'
            WHEN d.project_id IS NULL THEN 'unsealed'
            WHEN covered.entry->>'state' = 'measured' AND ({_ZERO}) THEN 'zero'  -- sealed before it existed
            ELSE coalesce(covered.entry->>'state', 'missing') END,
        coalesce(covered.entry - 'state', '{{}}') || CASE
            WHEN covered.entry->>'state' NOT IN ('measured', 'zero') AND covered.entry ? 'sampled_at' THEN
                jsonb_build_object('age_hours', round(extract(epoch FROM
                    e.ends - CAST(covered.entry->>'sampled_at' AS timestamptz)) / 3600, 1))
            ELSE '{{}}' END
    FROM expected e
    LEFT JOIN (
        SELECT * FROM daily_stats WHERE project_id = ANY(ARRAY(SELECT id FROM page))
        AND date >= CAST(:first AS date) AND date <= CAST(:last AS date)
    ) d ON d.project_id = e.id AND d.date = e.date
    CROSS JOIN unnest(CAST(:sources AS text[])) WITH ORDINALITY AS source (name, place)
    CROSS JOIN LATERAL (SELECT d.coverage->source.name) AS covered (entry)
    ORDER BY e.id, e.date, source.place""")

INCOMPLETE_PROJECTS = text(f"""
    SELECT DISTINCT d.project_id FROM daily_stats d
    WHERE d.date >= :first AND d.date <= :last
        AND EXISTS (SELECT FROM unnest(CAST(:sources AS text[])) AS source (name)
            WHERE d.coverage->source.name->>'state' IN {quoted((*INCOMPLETE_STATES, "carried"))})""")


def incomplete_projects(
    connection: Connection, first: Day, last: Day, sources: Sequence[SourceName] = SOURCE_NAMES
) -> frozenset[int]:
    """Return projects with a sealed day that was not measured in full by one of `sources`."""
    bounds = {"first": first.date, "last": last.date, "sources": list(sources)}
    return frozenset(connection.execute(INCOMPLETE_PROJECTS, bounds).scalars())


def matrix(
    connection: Connection,
    first: Day,
    last: Day,
    at: datetime,
    after: int = 0,
    most: int = 50,
    sources: Sequence[SourceName] = SOURCE_NAMES,
    only: Sequence[int] | None = None,
) -> list[Cell]:
    """Return the cells of `sources` on days `first` to `last`, included, of `most` projects after `after`.

    With `only`, of those projects alone. There are no cells for days on which a project is not expected,
    nor for days after `at`. The next page starts after the last cell's project; an empty list is the end.
    """
    bounds = {"since": first.start, "until": last.end, "first": first.date, "last": last.date}
    page = {"at": at, "after": after, "most": most, "sources": list(sources)}
    page["only"] = None if only is None else list(only)
    return [Cell(*row) for row in connection.execute(MATRIX, bounds | page)]
