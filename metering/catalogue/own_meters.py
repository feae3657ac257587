"""Meters of the platform's own: declared in a TOML, reported through the API, kept under their name.

`FLEETMETER_METERS` names the file (docs/own-meters.md). The table `own_meters` keeps every meter that was
ever declared, so that usage of one that left the file is still added up, billed and shown.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, text

from metering.catalogue.meters import GAUGES, METERS
from metering.errors import SettingsError

Aggregation = Literal["sum", "max"]
AGGREGATIONS: tuple[Aggregation, ...] = ("sum", "max")
KEYS = ("unit", "aggregation", "title", "description")
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
LARGEST = 2**63 - 1  # of a quantity, and of a running total
LONGEST = {"unit": 32, "title": 80, "description": 500}
MOST = 200  # meters of one file
# Words that name something else in plans, exports, Explore and the API.
RESERVED = frozenset(
    {*METERS, *(gauge.live for gauge in GAUGES), "charge", "plan_fee", "overage", "meters", "meter"}
    | {"projects", "users", "project_id", "organization_id", "tier", "coverage", "form", "date", "hour"}
    | {"year", "month", "day", "currency", "seal", "row_hash", "total_charge"}
)


@dataclass(frozen=True)
class OwnMeter:
    """A meter of the platform's own. `aggregation`: how the quantities of a period become one."""

    name: str
    unit: str
    aggregation: Aggregation
    title: str
    description: str


def load(path: Path | None) -> dict[str, OwnMeter]:
    """Return the meters of a TOML file by name, none for None. Raises SettingsError, which says where."""
    if path is None:
        return {}
    try:
        written = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"FLEETMETER_METERS: {path} cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"FLEETMETER_METERS: {path} is no TOML: {error}") from error
    problems = list(_problems(written))
    if problems:
        more = f" (and {len(problems) - 5} more)" if problems[5:] else ""
        raise SettingsError(f"FLEETMETER_METERS: {path} is wrong: {'; '.join(problems[:5])}{more}")
    tables = written.get("meters", {})
    return {
        name: OwnMeter(
            name, table["unit"], table["aggregation"], table.get("title", name), table.get("description", "")
        )
        for name, table in tables.items()
    }


def _problems(written: Mapping[str, Any]) -> list[str]:
    problems = [
        f"there is no key {key[:80]!r}; a meter begins with [meters.NAME]"
        for key in written
        if key != "meters"
    ]
    meters = written.get("meters", {})
    if not isinstance(meters, dict):
        return [*problems, "meters must be tables; a meter begins with [meters.NAME]"]
    if len(meters) > MOST:
        problems.append(f"it declares {len(meters)} meters; the most is {MOST}")
    for name, table in meters.items():
        problems += [f"meter {name[:80]!r}: {problem}" for problem in _problems_of(name, table)]
    return problems


def _problems_of(name: str, table: Any) -> list[str]:
    problems = []
    if not NAME.fullmatch(name):
        problems.append("a name is a lower-case letter, then letters, digits and _, 63 at most; rename it")
    if name in RESERVED or name.startswith(("peak_", "lifetime_", "avg_")):
        problems.append("Fleetmeter uses this name itself; give the meter another one")
    if not isinstance(table, dict):
        return [*problems, f"it must be a table that begins with [meters.{name[:80]}]"]
    problems += [
        f"there is no key {key[:80]!r}; the keys are {', '.join(KEYS)}" for key in table if key not in KEYS
    ]
    if table.get("aggregation") not in AGGREGATIONS:
        problems.append('aggregation must be "sum" or "max"')
    if "unit" not in table:
        problems.append('unit is missing; say what is counted, like unit = "seconds"')
    problems += [
        _wrong_text(key, table[key]) for key in LONGEST if key in table and _is_wrong(key, table[key])
    ]
    return problems


def _is_wrong(key: str, value: Any) -> bool:
    printable = isinstance(value, str) and value.isprintable() and len(value) <= LONGEST[key]
    return not printable or (key != "description" and not value.strip())


def _wrong_text(key: str, value: Any) -> str:
    return f"{key} must be a text of 1 to {LONGEST[key]} printable characters, in one line"


# Two processes that declare at once both write the same.
_DECLARE = text("""
    INSERT INTO own_meters AS k (name, unit, aggregation, title, description, declared_at)
    SELECT name, unit, aggregation, title, description, :at FROM jsonb_to_recordset(CAST(:meters AS jsonb))
        AS g (name text, unit text, aggregation text, title text, description text) ORDER BY name
    ON CONFLICT (name) DO UPDATE SET unit = excluded.unit, title = excluded.title,
        description = excluded.description, aggregation = excluded.aggregation
    WHERE (k.unit, k.title, k.description, k.aggregation) IS DISTINCT FROM
        (excluded.unit, excluded.title, excluded.description, excluded.aggregation)""")
_CHANGED = text("""
    SELECT k.name, k.aggregation FROM own_meters k
    JOIN jsonb_to_recordset(CAST(:meters AS jsonb)) AS g (name text, aggregation text) USING (name)
    WHERE k.aggregation <> g.aggregation AND EXISTS (
        SELECT FROM project_stats s WHERE s.meters ? k.name OR s.lifetime_meters ? k.name)
    ORDER BY k.name LIMIT 1""")


def declare(connection: Connection, meters: Mapping[str, OwnMeter], at: datetime) -> None:
    """Store the declared `meters` in the database; meters that are no longer declared stay there.

    Raises SettingsError for a meter with usage whose aggregation changed: its sealed days were added up
    in the other way.
    """
    if not meters:
        return
    parameters = {"meters": json_of(meters), "at": at}
    changed = connection.execute(_CHANGED, parameters).one_or_none()
    if changed is not None:
        raise SettingsError(
            f"FLEETMETER_METERS: meter {changed.name} has usage with the aggregation {changed.aggregation}; "
            "keep that, or declare a meter of another name"
        )
    connection.execute(_DECLARE, parameters)


def by_name(connection: Connection) -> dict[str, OwnMeter]:
    """Return every meter that was ever declared, by name, in the order of the names."""
    rows = connection.execute(
        text("SELECT name, unit, aggregation, title, description FROM own_meters ORDER BY name")
    )
    return {row.name: OwnMeter(**row._mapping) for row in rows}


def find(name: str, meters: Mapping[str, OwnMeter]) -> OwnMeter:
    """Return the meter `name`; one that was never declared has its name as title, and adds up."""
    return meters.get(name) or OwnMeter(name, "", "sum", name, "")


def quantities(cell: Any) -> dict[str, int]:
    """Return the quantities in a row's cell of `meters`; other values are left out."""
    members = cell.items() if isinstance(cell, dict) else ()
    return {name: quantity for name, quantity in members if isinstance(quantity, int)}


def value_sql(name: str, column: str = "meters") -> str:
    """Return SQL of the quantity of meter `name` in a row's JSONB `column`; 0 where nothing was reported.

    Raises ValueError if `name` cannot be the name of a meter.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a meter")
    return f"coalesce(CAST({column}->>'{name}' AS numeric), 0)"


def aggregate_sql(meter: OwnMeter, column: str = "meters") -> str:
    """Return SQL of the aggregate of `meter` over rows with that JSONB `column`."""
    return f"{meter.aggregation}({value_sql(meter.name, column)})"


def merged_sql(column: str = "meters") -> str:
    """Return SQL of the aggregate of the JSONB `column` over a group: each meter in its own aggregation.

    Quantities of 0 are left out: a row without a meter and one with 0 are the same.
    """
    return f"coalesce(fleetmeter_meters(array_agg({column}) FILTER (WHERE {column} <> '{{}}')), '{{}}')"


# SQL of the names of the meters of which the largest quantity counts.
LARGEST_NAMES = "ARRAY(SELECT name FROM own_meters WHERE aggregation = 'max' ORDER BY name)"


def json_of(meters: Mapping[str, OwnMeter]) -> str:
    """Return the meters as a JSON array of objects."""
    return json.dumps([asdict(meter) for meter in meters.values()])
