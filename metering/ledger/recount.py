"""Recount platform rows: stage them outside the locks, then set them hour by hour.

Nothing before `open_from` is written, except by a backfill, in the transaction that seals those hours.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from metering.catalogue import projects
from metering.catalogue.history import OFF_ON
from metering.catalogue.meters import columns, counters_of
from metering.catalogue.periods import Day, Month
from metering.catalogue.projects import IS_BILLED, METERED_UNTIL
from metering.catalogue.sources import SourceName
from metering.db.engine import is_away, is_passing
from metering.ledger.failures import SourceFailure, database_failure

_OFF = OFF_ON.format(date="(hour.hour AT TIME ZONE 'UTC')::date")
LARGEST = 2**63 - 1  # of a bigint


class TableCount(NamedTuple):
    """How a table is counted.

    `select` gives project_id, hour and these counters in their order; `with_unusable`: and the number of
    rows without a value that can be counted.
    """

    counters: tuple[str, ...]
    select: str
    with_unusable: bool = False


@dataclass(frozen=True)
class StageFailures:
    """What could not be counted: a table of every project, or a table of one project."""

    tables: dict[str, SourceFailure]
    projects: dict[int, dict[str, SourceFailure]]


def stage(
    connection: Connection,
    source: SourceName,
    selects: Mapping[str, TableCount],
    parameters: Mapping[str, Any],
) -> StageFailures:
    """Count `source` into a table of this session, one statement for each of its tables.

    Returns why something could not be counted; everything else is counted nevertheless. Hold the
    advisory lock of the source from before this until the last `apply_staged`, or an older count may
    be applied over a newer one.
    """
    names = counters_of(source)
    connection.execute(text("DROP TABLE IF EXISTS staged_rows, staged_counts"))
    # Sums are numeric until they are known to fit.
    counters = columns("{0} numeric NOT NULL DEFAULT 0", names)
    connection.execute(
        text(f"""
            CREATE TEMP TABLE staged_rows (
                project_id bigint, hour timestamptz, {counters},
                unusable bigint NOT NULL DEFAULT 0, from_table text)""")
    )
    tables = {
        table: failure
        for table, counting in selects.items()
        if (failure := _stage_table(connection, table, counting, parameters))
    }
    projects_failed = _take_unusable(connection, names)
    connection.execute(
        text(f"""
            CREATE TEMP TABLE staged_counts AS
            SELECT project_id, hour, {columns("sum({0}) AS {0}", names)}
            FROM staged_rows GROUP BY project_id, hour""")
    )
    connection.execute(text("CREATE INDEX ON staged_counts (project_id, hour)"))
    connection.execute(text("ANALYZE staged_counts"))
    return StageFailures(tables, projects_failed)


def _stage_table(
    connection: Connection, table: str, counting: TableCount, parameters: Mapping[str, Any]
) -> SourceFailure | None:
    names = columns("{0}", (*counting.counters, *(("unusable",) if counting.with_unusable else ())))
    try:
        with connection.begin_nested():
            insert = f"""INSERT INTO staged_rows (project_id, hour, {names}, from_table)
                SELECT counted.*, '{table}' FROM ({counting.select}) AS counted"""
            connection.execute(text(insert), parameters)
    except DBAPIError as error:
        if is_away(error) or is_passing(error):
            raise
        return database_failure(error)
    return None


def _take_unusable(connection: Connection, names: tuple[str, ...]) -> dict[int, dict[str, SourceFailure]]:
    """Remove what cannot be counted from the staged rows; return why, by project and table."""
    sums = columns("sum({0})", names)
    rows = connection.execute(
        text(f"""
            WITH unusable AS (
                SELECT project_id, from_table, sum(unusable)::bigint AS rows FROM staged_rows
                WHERE project_id IS NOT NULL GROUP BY project_id, from_table
                HAVING sum(unusable) > 0 OR greatest({sums}) > {LARGEST}
            ), removed AS (
                DELETE FROM staged_rows s USING unusable u
                WHERE (s.project_id, s.from_table) = (u.project_id, u.from_table))
            SELECT * FROM unusable ORDER BY project_id, from_table""")
    )
    failures: dict[int, dict[str, SourceFailure]] = {}
    for project, table, count in rows:
        failures.setdefault(project, {})[table] = SourceFailure(
            f"{count:,} rows hold no size or a negative one; correct them" if count else TOO_LARGE,
            of_project=True,
        )
    return failures


TOO_LARGE = "the sum does not fit in 64 bits; correct the rows"


def keep_staged(connection: Connection, source: SourceName, start: datetime, end: datetime) -> None:
    """Let no staged count of `[start, end)` be less than what the ledger has.

    Rows that were counted may be gone since: pruned, or taken back, which the recount after the seal
    tells apart.
    """
    names = counters_of(source)
    bounds = {"start": start, "end": end}
    mine = "u.hour >= :start AND u.hour < :end AND c.project_id = u.project_id AND c.hour = u.hour"
    more = columns("{0} = greatest(c.{0}, u.{0})", names)
    connection.execute(text(f"UPDATE staged_counts c SET {more} FROM usage_hourly u WHERE {mine}"), bounds)
    listed = columns("u.{0}", names)
    connection.execute(
        text(f"""
            INSERT INTO staged_counts (project_id, hour, {columns("{0}", names)})
            SELECT u.project_id, u.hour, {listed} FROM usage_hourly u
            WHERE u.hour >= :start AND u.hour < :end
                AND NOT EXISTS (SELECT FROM staged_counts c WHERE {mine})"""),
        bounds,
    )


def apply_staged(
    connection: Connection,
    source: SourceName,
    project_ids: Sequence[int],
    start: datetime,
    end: datetime,
    at: datetime,
    without: Collection[str] = (),
) -> None:
    """Set the hours of `[start, end)` to what was staged, zero included, and say they are measured.

    Counters in `without` could not be counted: they stay, and the hours are not said to be measured,
    so that the next count begins where this one did. Hours before a project's `open_from` are left
    alone: they are sealed. The running totals move by the difference. `at` is when the count was made:
    an hour is measured up to it.
    """
    projects.ensure(connection, project_ids, at)
    projects.lock(connection, project_ids)
    target = f"""
        SELECT s.project_id, hour.hour FROM project_stats s
        JOIN projects p ON p.id = s.project_id
        CROSS JOIN LATERAL generate_series(
            greatest(:start, s.open_from), least(:end, {METERED_UNTIL}) - interval '1 hour',
            interval '1 hour') AS hour (hour)
        WHERE s.project_id = ANY(:ids) AND NOT {_OFF}"""
    connection.execute(
        _set_hours(source, target, without),
        {"ids": list(project_ids), "start": start, "end": end, "at": at, "source": source},
    )


def fill_sealed_day(
    connection: Connection, source: SourceName, project_ids: Sequence[int], day: Day, at: datetime
) -> None:
    """Set the 24 hours of `day` to what was staged, before `open_from`: for a backfill only.

    The running totals move if the day is to be billed; hours of history leave them alone.
    The caller holds the projects' locks and seals that day in this transaction.
    """
    target = f"""
        SELECT p.id AS project_id, hour.hour FROM projects p
        CROSS JOIN LATERAL generate_series(
            CAST(:start AS timestamptz), least(CAST(:end AS timestamptz), {METERED_UNTIL})
                - interval '1 hour', interval '1 hour') AS hour (hour)
        WHERE p.id = ANY(:ids) AND NOT {_OFF}"""
    parameters: dict[str, Any] = {"start": day.start, "end": day.end, "at": at, "source": source}
    parameters |= {"ids": list(project_ids), "month": Month.of(day.start).first.date}
    billed = IS_BILLED.format(project="s.project_id", month="CAST(:month AS date)")
    connection.execute(_set_hours(source, target, billed=billed), parameters)


def _set_hours(source: SourceName, target: str, without: Collection[str] = (), billed: str = "true") -> Any:
    names = tuple(name for name in counters_of(source) if name not in without)
    measured = f"{source}_measured_at = greatest(s.{source}_measured_at, :at)," if not without else ""
    mark = "jsonb_build_object(CAST(:source AS text), least(hour + interval '1 hour', :at))"
    kept = "u.measured" if without else f"u.measured - '{source}_failed'"
    sums = columns("sum({0}) AS {0}", names)
    moved = f"CASE WHEN {billed} THEN a.{{0}} - coalesce(b.{{0}}, 0) ELSE 0 END"
    # The total has to fit together with the lifetime, or the month could never be closed.
    total = f"{{0}} = (s.{{0}} + {moved} + s.lifetime_{{0}})::bigint - s.lifetime_{{0}}"
    return text(f"""
        WITH target AS ({target}), counted AS (
            SELECT t.project_id, t.hour, {columns("coalesce(c.{0}, 0) AS {0}", names)}
            FROM target t LEFT JOIN staged_counts c USING (project_id, hour)
        ), before AS (
            SELECT project_id, {sums} FROM usage_hourly JOIN target USING (project_id, hour)
            WHERE hour >= :start AND hour < :end  -- which tells the planner the partitions
            GROUP BY project_id
        ), after AS (
            SELECT project_id, {sums} FROM counted GROUP BY project_id
        ), written AS (
            INSERT INTO usage_hourly AS u (project_id, hour, {columns("{0}", names)}, measured)
            SELECT project_id, hour, {columns("{0}", names)}, {"'{}'" if without else mark}
            FROM counted
            ON CONFLICT (project_id, hour) DO UPDATE SET {columns("{0} = excluded.{0}", names)},
                measured = {kept} || excluded.measured
        )
        UPDATE project_stats s SET updated_at = greatest(s.updated_at, :at),
            {measured}
            {columns(total, names)}
        FROM after a LEFT JOIN before b USING (project_id) WHERE s.project_id = a.project_id""")
