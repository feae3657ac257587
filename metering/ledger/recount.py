"""Set the hours of the ledger to the staged counts of the platform's rows.

No hour before `open_from` is written, except by a backfill in the transaction that seals it.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import platform, projects
from metering.catalogue.history import OFF_ON
from metering.catalogue.meters import columns, counters_of
from metering.catalogue.periods import Day, Month
from metering.catalogue.projects import IS_BILLED, METERED_UNTIL
from metering.catalogue.sources import SourceName

_OFF = OFF_ON.format(date="(hour.hour AT TIME ZONE 'UTC')::date")


def apply_staged(
    connection: Connection,
    source: SourceName,
    project_ids: Sequence[int],
    start: datetime,
    end: datetime,
    at: datetime,
    without: Collection[str] = (),
) -> None:
    """Set the hours of `[start, end)` to the staged counts, zero included, and mark them as measured.

    Counters in `without` could not be counted: they do not change, and the hours are not marked, so that
    the next count begins where this one did. Hours before a project's `open_from` are sealed and do not
    change. The running totals change by the difference. `at` is the instant of the count: an hour is
    measured up to it.
    """
    projects.ensure(connection, project_ids, at)
    projects.lock(connection, project_ids)
    target = f"""
        SELECT s.project_id, hour.hour FROM project_stats s
        JOIN {platform.PROJECTS} p ON p.id = s.project_id
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
    """Set the 24 hours of `day` before `open_from` to the staged counts; for a backfill only.

    The running totals move if the day is to be billed; hours of history leave them alone.
    The caller holds the projects' locks and seals that day in this transaction.
    """
    target = f"""
        SELECT p.id AS project_id, hour.hour FROM {platform.PROJECTS} p
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
    earlier_marks = "u.measured" if without else f"u.measured - '{source}_failed'"
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
            WHERE hour >= :start AND hour < :end  -- lets the planner choose the partitions
            GROUP BY project_id
        ), after AS (
            SELECT project_id, {sums} FROM counted GROUP BY project_id
        ), written AS (
            INSERT INTO usage_hourly AS u (project_id, hour, {columns("{0}", names)}, measured)
            SELECT project_id, hour, {columns("{0}", names)}, {"'{}'" if without else mark}
            FROM counted
            ON CONFLICT (project_id, hour) DO UPDATE SET {columns("{0} = excluded.{0}", names)},
                measured = {earlier_marks} || excluded.measured
        )
        UPDATE project_stats s SET updated_at = greatest(s.updated_at, :at),
            {measured}
            {columns(total, names)}
        FROM after a LEFT JOIN before b USING (project_id) WHERE s.project_id = a.project_id""")
