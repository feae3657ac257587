"""The platform's tables: what is counted in each, and by which statement.

`created_at` places a row in its hour; give each table an index on it.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, text

from collectors.failure import Failure
from metering.catalogue.sources import SourceName, quoted
from metering.errors import SourceUnavailable
from metering.ledger.failures import SourceFailure, combine
from metering.ledger.staging import TableCount, stage

SOURCE: SourceName = "platform_db"

TRANSFERS = {
    "docker_upload_bytes": "docker_upload",
    "docker_download_bytes": "docker_download",
    "data_transfer_bytes": "data",
}
# Table -> counter -> the aggregate that counts it.
TABLES = {table: {table: "count(*)"} for table in ("logs", "sessions", "api_calls", "deployments")} | {
    "data_transfers": {
        counter: f"coalesce(sum(bytes) FILTER (WHERE kind = '{kind}'), 0)"
        for counter, kind in TRANSFERS.items()
    }
}
# Tables of which a value is summed -> SQL that is true for a row without a value that can be counted.
UNUSABLE = {
    "data_transfers": f"kind IN {quoted(TRANSFERS.values())} AND (bytes IS NULL OR bytes < 0)",
}

# A view or a foreign table has its index somewhere else.
UNINDEXED = text("""
    SELECT t.relname, t.relkind = 'p'
    FROM unnest(CAST(:tables AS text[])) WITH ORDINALITY AS counted (name, place)
    JOIN pg_class t ON t.oid = to_regclass(counted.name) AND t.relkind IN ('r', 'p')
    WHERE NOT EXISTS (SELECT FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = t.oid AND a.attname = 'created_at' AND i.indisvalid AND i.indpred IS NULL)
    ORDER BY counted.place""")


def _select(table: str) -> TableCount:
    counts = TABLES[table]
    values = ", ".join(f"{count} AS {name}" for name, count in counts.items())
    if table in UNUSABLE:
        values += f", count(*) FILTER (WHERE {UNUSABLE[table]})"
    select = f"""
        SELECT project_id, date_trunc('hour', created_at, 'UTC'), {values}
        FROM {table} WHERE created_at >= :start AND created_at < :end GROUP BY 1, 2"""
    return TableCount(tuple(counts), select, with_unusable=table in UNUSABLE)


SELECTS = {table: _select(table) for table in TABLES}


def stage_range(connection: Connection, start: datetime, end: datetime) -> dict[int, Failure]:
    """Count the rows of `[start, end)` into the session's staged counts; hold the source's lock.

    Returns the projects that cannot be counted, with the reason.
    Raises SourceUnavailable unless every table can be counted.
    """
    failures = stage(connection, SOURCE, SELECTS, {"start": start, "end": end})
    if failures.tables:
        failure = failure_of_tables(failures.tables)
        raise SourceUnavailable(str(failure), failure.retryable)
    return {project: failure_of_tables(tables) for project, tables in failures.projects.items()}


def failure_of_tables(failures: Mapping[str, SourceFailure], transient: bool = False) -> Failure:
    """Return the failure of the source of which the tables in `failures` could not be read."""
    cause = combine(replace(failure, reason=f"{table}: {failure}") for table, failure in failures.items())
    timed_out = any(failure.kind == "timeout" for failure in failures.values())
    return Failure(cause.reason, cause.kind, cause.of_project, transient=transient, later=timed_out)


def missing_indexes(connection: Connection) -> list[str]:
    """Return the statement that creates the index for each table that lacks one on `created_at`."""
    tables = connection.execute(UNINDEXED, {"tables": list(TABLES)})
    return [
        f"CREATE INDEX {'' if partitioned else 'CONCURRENTLY '}ON {name} (created_at)"
        for name, partitioned in tables
    ]
