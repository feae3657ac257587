"""Add usage that the platform reports itself to the ledger: of its own meters, and of built-in counters.

The caller holds the mutexes of the projects (rule 12), has read each `Standing` with them, and adds nothing
that `fits` refuses.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from metering.catalogue.meters import COUNTERS, columns
from metering.catalogue.own_meters import LARGEST
from metering.catalogue.periods import Month
from metering.catalogue.sources import source_info
from metering.db.prepared import Planned
from metering.ledger.partitions import ensure_partition_once

# Built-in counters that the hourly job does not read; others would count twice, by rows and by reports.
REPORTABLE = tuple(counter.name for counter in COUNTERS if not source_info(counter.source).is_polled)


class Usage(NamedTuple):
    """A quantity of a meter in an hour of a project; `hour` is its first instant."""

    project_id: int
    hour: datetime
    meter: str
    quantity: int


@dataclass
class Standing:
    """The state of a project: `open_from`, the first hour that may change, and the total of each meter.

    A total is the open months' and the lifetime's together: both have to fit in a bigint when a month closes.
    """

    open_from: datetime
    totals: dict[str, int] = field(default_factory=dict)

    def fits(self, meter: str, quantity: int, largest: Collection[str]) -> bool:
        """Return whether the total of `meter` has room for `quantity`, and take the room."""
        if meter in largest:
            return True
        total = self.totals.get(meter, 0) + quantity
        if total > LARGEST:
            return False
        self.totals[meter] = total
        return True


# The columns of `project_stats s` for `standing`.
STANDING = f"""s.open_from, nullif(s.meters, '{{}}') AS meters,
    nullif(s.lifetime_meters, '{{}}') AS lifetime_meters,
    {columns("s.{0}::numeric + s.lifetime_{0} AS {0}", REPORTABLE)}"""


def standing(row: Mapping[Any, Any]) -> Standing:
    """Return the standing in a row with the columns of STANDING."""
    return Standing(row["open_from"], _totals(row))


def _totals(row: Mapping[Any, Any]) -> dict[str, int]:
    totals = {name: int(row[name]) for name in REPORTABLE}
    for cell in (row["meters"], row["lifetime_meters"]):
        for name, quantity in (cell or {}).items():
            totals[name] = totals.get(name, 0) + quantity
    return totals


_ROWS = f"""
    SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS g
        (project_id bigint, hour timestamptz, meters jsonb, {columns("{0} bigint", REPORTABLE)})"""
# Written out: a call of fleetmeter_meters() for each row takes ten times as long.
_MERGED = """CASE WHEN {kept} = '{{}}' THEN {more} WHEN {more} = '{{}}' THEN {kept} ELSE (
    SELECT jsonb_object_agg(name, quantity) FROM (
        SELECT key AS name, CASE WHEN key = ANY (:largest) THEN max(CAST(value AS numeric))
            ELSE sum(CAST(value AS numeric)) END AS quantity
        FROM (SELECT * FROM jsonb_each({kept}) UNION ALL SELECT * FROM jsonb_each({more})) AS both_cells
        GROUP BY key) AS merged) END"""

ADD_HOURS = Planned(f"""
    INSERT INTO usage_hourly AS u (project_id, hour, meters, {columns("{0}", REPORTABLE)})
    SELECT project_id, hour, meters, {columns("{0}", REPORTABLE)} FROM ({_ROWS}) g ORDER BY project_id, hour
    ON CONFLICT (project_id, hour) DO UPDATE SET {columns("{0} = u.{0} + excluded.{0}", REPORTABLE)},
        meters = {_MERGED.format(kept="u.meters", more="excluded.meters")}""")
ADD_TOTALS = Planned(f"""
    UPDATE project_stats s SET updated_at = greatest(s.updated_at, :at),
        meters = {_MERGED.format(kept="s.meters", more="g.meters")},
        mqtt_measured_at = CASE WHEN greatest({columns("g.{0}", REPORTABLE)}) > 0
            THEN greatest(s.mqtt_measured_at, :at) ELSE s.mqtt_measured_at END,
        {columns("{0} = s.{0} + g.{0}", REPORTABLE)}
    FROM ({_ROWS}) g WHERE s.project_id = g.project_id
        AND s.project_id = ANY(CAST(:ids AS bigint[]))  -- else every project is read to find some
""")

Cells = dict[Any, dict[str, int]]
NONE = dict.fromkeys(REPORTABLE, 0)


def add(connection: Connection, usage: Iterable[Usage], largest: Collection[str], at: datetime) -> None:
    """Add `usage` to its hours and to the running totals, received at `at`; quantities of 0 change nothing.

    `largest`: the names of the meters of which the largest quantity counts.
    """
    hours: Cells = {}
    projects: Cells = {}
    for project, hour, meter, quantity in usage:
        if quantity:
            for cells, key in ((hours, (project, hour)), (projects, project)):
                cell = cells.setdefault(key, {})
                earlier = cell.get(meter, 0)
                cell[meter] = max(earlier, quantity) if meter in largest else earlier + quantity
    if not hours:
        return
    instants = {hour: hour.isoformat() for _, hour in hours}
    for month in sorted({Month.of(hour) for hour in instants}):
        ensure_partition_once(connection, month)
    by_hour = [
        {"project_id": project, "hour": instants[hour], **_columns(cell)}
        for (project, hour), cell in hours.items()
    ]
    totals = [{"project_id": project, **_columns(cell)} for project, cell in projects.items()]
    names = {"largest": list(largest)}
    ADD_HOURS.execute(connection, names | {"rows": json.dumps(by_hour)})
    ADD_TOTALS.execute(connection, names | {"rows": json.dumps(totals), "at": at, "ids": list(projects)})


def _columns(cell: dict[str, int]) -> dict[str, Any]:
    """Return a cell as columns: a counter each, and the platform's own meters together."""
    built_in = NONE | {name: cell.pop(name) for name in REPORTABLE if name in cell}
    return built_in | {"meters": cell}
