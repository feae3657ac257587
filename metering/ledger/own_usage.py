"""Add usage that the platform reports itself to the ledger: of its own meters, and of built-in counters.

The caller holds the mutexes of the projects (rule 12), has read `Standing` after that, and adds nothing that
`fits` refuses.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from metering.catalogue.meters import COUNTERS, columns
from metering.catalogue.own_meters import LARGEST

# Built-in counters that no table of the platform supplies; others would count twice, by rows and reports.
REPORTABLE = tuple(counter.name for counter in COUNTERS if counter.source != "platform_db")


class Usage(NamedTuple):
    """A quantity of a meter in an hour of a project; `hour` is its first instant."""

    project_id: int
    hour: datetime
    meter: str
    quantity: int


@dataclass
class Standing:
    """What a project has: `open_from`, the first hour that may change; `meters` of the open months; totals.

    A total is the open months' and the lifetime's together: both have to fit in a bigint when a month closes.
    """

    open_from: datetime
    meters: dict[str, int] = field(default_factory=dict)
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


STANDINGS = text(f"""
    SELECT project_id, open_from, meters, lifetime_meters,
        {columns("{0}::numeric + lifetime_{0} AS {0}", REPORTABLE)}
    FROM project_stats WHERE project_id = ANY(:ids)""")


def standings(connection: Connection, project_ids: Sequence[int]) -> dict[int, Standing]:
    """Return the standing of each of the projects that has a row in project_stats, by id."""
    return {
        row["project_id"]: Standing(row["open_from"], row["meters"], _totals(row))
        for row in connection.execute(STANDINGS, {"ids": list(project_ids)}).mappings()
    }


def _totals(row: Mapping[Any, Any]) -> dict[str, int]:
    totals = {name: int(row[name]) for name in REPORTABLE}
    for cell in (row["meters"], row["lifetime_meters"]):
        for name, quantity in cell.items():
            totals[name] = totals.get(name, 0) + quantity
    return totals


_GIVEN = f"""
    SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS g
        (project_id bigint, hour timestamptz, meters jsonb, {columns("{0} bigint", REPORTABLE)})"""

HELD = text("""
    SELECT u.project_id, u.hour, u.meters FROM usage_hourly u
    JOIN unnest(CAST(:ids AS bigint[]), CAST(:hours AS timestamptz[])) AS g (project_id, hour)
        ON u.project_id = g.project_id AND u.hour = g.hour
    WHERE u.meters <> '{}' AND u.hour BETWEEN :first AND :last""")
ADD_HOURS = text(f"""
    INSERT INTO usage_hourly AS u (project_id, hour, meters, {columns("{0}", REPORTABLE)})
    SELECT project_id, hour, meters, {columns("{0}", REPORTABLE)} FROM ({_GIVEN}) g ORDER BY project_id, hour
    ON CONFLICT (project_id, hour) DO UPDATE SET meters = excluded.meters,
        {columns("{0} = u.{0} + excluded.{0}", REPORTABLE)}""")
ADD_TOTALS = text(f"""
    UPDATE project_stats s SET updated_at = greatest(s.updated_at, :at), meters = g.meters,
        mqtt_measured_at = CASE WHEN greatest({columns("g.{0}", REPORTABLE)}) > 0
            THEN greatest(s.mqtt_measured_at, :at) ELSE s.mqtt_measured_at END,
        {columns("{0} = s.{0} + g.{0}", REPORTABLE)}
    FROM ({_GIVEN}) g WHERE s.project_id = g.project_id""")

Cells = dict[Any, dict[str, int]]


def add(
    connection: Connection,
    usage: Iterable[Usage],
    standings: Mapping[int, Standing],
    largest: Collection[str],
    at: datetime,
) -> None:
    """Add `usage` to its hours and to the running totals, received at `at`; quantities of 0 change nothing.

    `largest`: the names of the meters of which the largest quantity counts. Cells are merged here and not by
    PostgreSQL, which takes five times as long; the mutexes see to it that nobody else changes them.
    """
    hours: Cells = {}
    projects: Cells = {}
    for project, hour, meter, quantity in usage:
        if quantity:
            _merge(hours.setdefault((project, hour), {}), {meter: quantity}, largest)
            _merge(projects.setdefault(project, {}), {meter: quantity}, largest)
    if not hours:
        return
    held = _held(connection, list(hours))
    rows = [
        _row(cell, held.get(key, {}), largest) | {"project_id": key[0], "hour": key[1].isoformat()}
        for key, cell in hours.items()
    ]
    connection.execute(ADD_HOURS, {"rows": json.dumps(rows)})
    totals = [
        _row(cell, standings[project].meters, largest) | {"project_id": project}
        for project, cell in projects.items()
    ]
    connection.execute(ADD_TOTALS, {"rows": json.dumps(totals), "at": at})


def _held(connection: Connection, keys: Sequence[tuple[int, datetime]]) -> Cells:
    ids, hours = zip(*keys, strict=True)
    parameters = {"ids": list(ids), "hours": list(hours), "first": min(hours), "last": max(hours)}
    return {(row.project_id, row.hour): row.meters for row in connection.execute(HELD, parameters)}


def _merge(cell: dict[str, int], more: Mapping[str, int], largest: Collection[str]) -> None:
    for meter, quantity in more.items():
        earlier = cell.get(meter, 0)
        cell[meter] = max(earlier, quantity) if meter in largest else earlier + quantity


def _row(added: Mapping[str, int], held: Mapping[str, int], largest: Collection[str]) -> dict[str, Any]:
    """Return the counters to add, and the cell of own meters that takes the place of `held`."""
    counters = {name: added.get(name, 0) for name in REPORTABLE}
    cell = dict(held)
    _merge(cell, {name: quantity for name, quantity in added.items() if name not in counters}, largest)
    return counters | {"meters": cell}
