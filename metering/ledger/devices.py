"""The busiest devices of a project's day: written by the counter daemons, read beside the ledger's count.

Each figure is a lower bound. The figures of a day never exceed the ledger's: a figure that would is left
out, and counts for the rest. That happens to messages that the ledger did not take for the project.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.history import EVER_OWNED
from metering.catalogue.meters import columns
from metering.db.transactions import advisory_lock
from metering.ledger.mqtt import MQTT_COUNTERS

DELETED = 10_000  # rows in one transaction

# Of a project's day all or nothing: its figures so far and the new ones must fit into the ledger's.
ADD = text(f"""
    WITH given AS (
        SELECT g.project_id, g.date, g.device, {columns("sum(g.{0})::bigint AS {0}", MQTT_COUNTERS)},
            max(g.error) AS error
        FROM unnest(CAST(:organizations AS bigint[]), CAST(:projects AS bigint[]), CAST(:dates AS date[]),
            CAST(:devices AS text[]), {columns("CAST(:{0} AS bigint[])", MQTT_COUNTERS)},
            CAST(:errors AS bigint[]))
            AS g (organization_id, project_id, date, device, {columns("{0}", MQTT_COUNTERS)}, error)
        JOIN {platform.PROJECTS} p ON p.id = g.project_id
        WHERE {EVER_OWNED.format(organization="g.organization_id")}
        GROUP BY g.project_id, g.date, g.device
    ), fitting AS (
        SELECT project_id, date FROM (
            SELECT project_id, date, {columns("sum({0}) AS {0}", MQTT_COUNTERS)} FROM (
                SELECT project_id, date, {columns("{0}", MQTT_COUNTERS)} FROM given
                UNION ALL SELECT d.project_id, d.date, {columns("d.{0}", MQTT_COUNTERS)}
                FROM device_usage_daily d
                WHERE (d.project_id, d.date) IN (SELECT DISTINCT project_id, date FROM given)) b
            GROUP BY project_id, date) s
        CROSS JOIN LATERAL (SELECT {columns("sum(u.{0}) AS counted_{0}", MQTT_COUNTERS)} FROM usage_hourly u
            WHERE u.project_id = s.project_id AND u.hour >= s.date::timestamp AT TIME ZONE 'UTC'
            AND u.hour < (s.date + 1)::timestamp AT TIME ZONE 'UTC') l
        WHERE {" AND ".join(f"s.{name} <= l.counted_{name}" for name in MQTT_COUNTERS)}
    )
    INSERT INTO device_usage_daily AS t (project_id, date, device, {columns("{0}", MQTT_COUNTERS)}, error)
    SELECT project_id, date, device, {columns("{0}", MQTT_COUNTERS)}, error
    FROM given JOIN fitting USING (project_id, date)
    ON CONFLICT (project_id, date, device) DO UPDATE SET
        {columns("{0} = t.{0} + excluded.{0}", MQTT_COUNTERS)},
        error = greatest(t.error, excluded.error)""")
# The devices that two daemons followed may be more than `limit`.
TRIM = text("""
    DELETE FROM device_usage_daily d USING (
        SELECT project_id, date, device, row_number() OVER (
            PARTITION BY project_id, date ORDER BY mqtt_inbound + mqtt_outbound DESC, device) AS place
        FROM device_usage_daily WHERE (project_id, date) IN (
            SELECT * FROM unnest(CAST(:projects AS bigint[]), CAST(:dates AS date[])))) ranked
    WHERE ranked.place > :limit
        AND (d.project_id, d.date, d.device) = (ranked.project_id, ranked.date, ranked.device)""")
OF_DAYS = text(f"""
    SELECT device, {columns("sum({0})::bigint AS {0}", MQTT_COUNTERS)}, sum(error)::bigint AS error
    FROM device_usage_daily WHERE project_id = :project AND date BETWEEN :first AND :last
    GROUP BY device ORDER BY sum(mqtt_inbound + mqtt_outbound) DESC, device""")
PROJECT_TOTALS = text(f"""
    SELECT {columns("coalesce(sum({0}), 0)::bigint AS {0}", MQTT_COUNTERS)} FROM usage_hourly
    WHERE project_id = :project AND hour >= CAST(:first AS date)::timestamp AT TIME ZONE 'UTC'
        AND hour < (CAST(:last AS date) + 1)::timestamp AT TIME ZONE 'UTC'""")


@dataclass(frozen=True)
class DeviceUsage:
    """What a device sent and received, each figure a lower bound; it has at most `error` messages more."""

    device: str
    mqtt_inbound: int
    mqtt_outbound: int
    mqtt_inbound_bytes: int
    mqtt_outbound_bytes: int
    error: int


@dataclass(frozen=True)
class DevicesOfDays:
    """The busiest devices of a project in some days, the busiest first, and the rest.

    `rest` is the ledger's count without these devices, by counter, never negative: other devices, and the
    messages that a counter daemon forgot when it was killed.
    """

    devices: list[DeviceUsage]
    rest: Mapping[str, int]


def add(connection: Connection, rows: Sequence[Any], limit: int) -> None:
    """Add figures to the rows of devices (`DeviceFigures` of the counter daemon); keep the busiest `limit`.

    Two daemons must not both find room for a figure that fits once, so one waits for the other.
    """
    advisory_lock(connection, "devices")
    values: dict[str, Any] = {
        "organizations": [row.organization_id for row in rows],
        "projects": [row.project_id for row in rows],
        "dates": [row.date for row in rows],
        "devices": [row.device for row in rows],
        "errors": [row.error for row in rows],
    }
    for place, name in enumerate(MQTT_COUNTERS):
        values[name] = [row.figures[place] for row in rows]
    connection.execute(ADD, values)
    connection.execute(TRIM, {"projects": values["projects"], "dates": values["dates"], "limit": limit})


def of_days(connection: Connection, project_id: int, first: date, last: date) -> DevicesOfDays:
    """Return the devices of a project from `first` to `last` (UTC days, both included), and the rest."""
    bounds = {"project": project_id, "first": first, "last": last}
    devices = [DeviceUsage(**row) for row in connection.execute(OF_DAYS, bounds).mappings()]
    totals = connection.execute(PROJECT_TOTALS, bounds).mappings().one()
    rest = {
        name: max(0, totals[name] - sum(getattr(device, name) for device in devices))
        for name in MQTT_COUNTERS
    }
    return DevicesOfDays(devices, rest)


def forget(connection: Connection, before: date) -> int:
    """Delete a batch of rows of days before `before`; returns the number, 0 when none remains."""
    statement = text("""DELETE FROM device_usage_daily WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM device_usage_daily WHERE date < :before LIMIT :most))""")
    return connection.execute(statement, {"before": before, "most": DELETED}).rowcount


def count_before(connection: Connection, before: date) -> int:
    """Return the number of rows of days before `before`."""
    query = text("SELECT count(*) FROM device_usage_daily WHERE date < :before")
    return connection.scalar(query, {"before": before}) or 0
