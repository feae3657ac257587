"""Count the platform's rows into a table of the session, outside of the projects' locks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from metering.catalogue.meters import columns, counters_of
from metering.catalogue.sources import SourceName
from metering.db.engine import is_away, is_passing
from metering.ledger.failures import SourceFailure, database_failure

LARGEST = 2**63 - 1  # of a bigint
TOO_LARGE = "the sum does not fit in 64 bits; correct the rows"


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
    """Tables that could not be counted: of every project, or of one project."""

    tables: dict[str, SourceFailure]
    projects: dict[int, dict[str, SourceFailure]]


def stage(
    connection: Connection,
    source: SourceName,
    selects: Mapping[str, TableCount],
    parameters: Mapping[str, Any],
) -> StageFailures:
    """Count `source` into a table of this session, one statement for each of its tables.

    Returns the tables that could not be counted; the others are counted nevertheless. Hold the
    advisory lock of the source from before this until the last `apply_staged`, or an older count may
    be applied over a newer one.
    """
    names = counters_of(source)
    checked = [table for table, counting in selects.items() if counting.with_unusable]
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
    projects = _take_unusable(connection, names, checked)
    connection.execute(
        text(f"""
            CREATE TEMP TABLE staged_counts AS
            SELECT project_id, hour, {columns("sum({0}) AS {0}", names)}
            FROM staged_rows GROUP BY project_id, hour""")
    )
    connection.execute(text("CREATE INDEX ON staged_counts (project_id, hour)"))
    connection.execute(text("ANALYZE staged_counts"))
    return StageFailures(tables, projects)


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


def _take_unusable(
    connection: Connection, names: tuple[str, ...], tables: list[str]
) -> dict[int, dict[str, SourceFailure]]:
    """Remove unusable counts of `tables` from the staged rows; return the reasons by project and table."""
    sums = columns("sum({0})", names)
    rows = connection.execute(
        text(f"""
            WITH unusable AS (
                SELECT project_id, from_table, sum(unusable)::bigint AS rows FROM staged_rows
                WHERE project_id IS NOT NULL AND from_table = ANY(:tables) GROUP BY project_id, from_table
                HAVING sum(unusable) > 0 OR greatest({sums}) > {LARGEST}
            ), removed AS (
                DELETE FROM staged_rows s USING unusable u
                WHERE (s.project_id, s.from_table) = (u.project_id, u.from_table))
            SELECT * FROM unusable ORDER BY project_id, from_table"""),
        {"tables": tables},
    )
    failures: dict[int, dict[str, SourceFailure]] = {}
    for project, table, count in rows:
        failures.setdefault(project, {})[table] = SourceFailure(
            f"{count:,} rows hold no size or a negative one; correct them" if count else TOO_LARGE,
            of_project=True,
        )
    return failures


def keep_staged(connection: Connection, source: SourceName, start: datetime, end: datetime) -> None:
    """Raise each staged count of `[start, end)` to at least the count in the ledger.

    Rows that were counted may have disappeared since: pruned, or withdrawn. The recount after the seal
    tells one from the other.
    """
    names = counters_of(source)
    bounds = {"start": start, "end": end}
    same_hour = "u.hour >= :start AND u.hour < :end AND c.project_id = u.project_id AND c.hour = u.hour"
    more = columns("{0} = greatest(c.{0}, u.{0})", names)
    connection.execute(
        text(f"UPDATE staged_counts c SET {more} FROM usage_hourly u WHERE {same_hour}"), bounds
    )
    listed = columns("u.{0}", names)
    connection.execute(
        text(f"""
            INSERT INTO staged_counts (project_id, hour, {columns("{0}", names)})
            SELECT u.project_id, u.hour, {listed} FROM usage_hourly u
            WHERE u.hour >= :start AND u.hour < :end
                AND NOT EXISTS (SELECT FROM staged_counts c WHERE {same_hour})"""),
        bounds,
    )
