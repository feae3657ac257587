"""The platform's rows of a day, in proportion to each project's messages.

Platforms prune: days long before the demo's first start have counts in the ledger but no rows any more.
Both come from the same statements.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from collectors.platform.source import PLATFORM_DB
from collectors.platform.tables import TABLES, failure_of_tables
from fleetmeter.demo.world import PROJECTS
from metering.catalogue.periods import Day
from metering.errors import SourceUnavailable
from metering.ledger.staging import TableCount, stage

RETENTION = timedelta(days=10)  # before the first start: how long the platform keeps its rows
MESSAGES_PER_ROW = {"logs": 2_000, "api_calls": 2_500, "sessions": 20_000, "data_transfers": 20_000}
LOG_BYTES = 400  # of an entry, on average
COLUMNS = {
    "logs": {"size_bytes": "300 + 7 * n % 200"},
    # About 100 kB for 20,000 messages: 3 % of their payload.
    "data_transfers": {
        "kind": "(ARRAY['docker_upload', 'docker_download', 'data'])[n % 3 + 1]",
        "bytes": "60000 + 1000 * ((89 * n + 31 * (p.id + :day)) % 81)",
    },
}


def deployments(project_id: int) -> int:
    """Return how often a project is deployed on a day."""
    return 1 + project_id % 3


@dataclass(frozen=True)
class Span:
    """The part of a day that is over, and the messages of each project in it."""

    day: Day
    until: datetime
    messages: Mapping[int, float]

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the statements' parameters: project ids, and the rows of each table."""
        share = (self.until - self.day.start) / timedelta(days=1)
        ids = [project.id for project in PROJECTS if self.messages[project.id] > 0]
        rows = {
            f"rows_{table}": [round(self.messages[project] / each) for project in ids]
            for table, each in MESSAGES_PER_ROW.items()
        }
        rows["rows_deployments"] = [round(deployments(project) * share) for project in ids]
        seconds = (self.until - self.day.start).total_seconds()
        return rows | {
            "ids": ids,
            "start": self.day.start,
            "seconds": seconds,
            "day": self.day.date.toordinal(),
        }


def _rows(table: str) -> str:
    """Return SQL of the rows of a span, evenly spread over it."""
    extra = "".join(f", {value} AS {name}" for name, value in COLUMNS.get(table, {}).items())
    return f"""
        SELECT p.id AS project_id, CAST(:start AS timestamptz)
            + make_interval(secs => :seconds * (n - 0.5) / p.rows) AS created_at{extra}
        FROM unnest(CAST(:ids AS bigint[]), CAST(:rows_{table} AS bigint[])) AS p (id, rows),
            LATERAL generate_series(1, p.rows) AS n"""


def count(connection: Connection, span: Span, first_start: datetime) -> None:
    """Stage the counts of a span; insert its rows, unless the platform pruned them by `first_start`.

    Hold the advisory lock of the platform's tables. Raises SourceUnavailable if they cannot be counted.
    """
    if span.day.end <= Day.of(first_start - RETENTION).start:
        failures = stage(connection, PLATFORM_DB.name, COUNTS, span.parameters)
        if failures.tables:
            raise SourceUnavailable(str(failure_of_tables(failures.tables)))
        return
    for table in TABLES:
        names = ", ".join(("project_id", "created_at", *COLUMNS.get(table, {})))
        connection.execute(text(f"INSERT INTO {table} ({names}) {_rows(table)}"), span.parameters)
    PLATFORM_DB.stage_range(connection, span.day.start, span.until)


def _counting(table: str) -> TableCount:
    values = ", ".join(f"{value} AS {name}" for name, value in TABLES[table].items())
    select = f"""SELECT project_id, date_trunc('hour', created_at, 'UTC'), {values}
        FROM ({_rows(table)}) AS r GROUP BY 1, 2"""
    return TableCount(tuple(TABLES[table]), select)


COUNTS = {table: _counting(table) for table in TABLES}
