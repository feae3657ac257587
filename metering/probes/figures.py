"""The figures of the whole installation, read from its database, in Prometheus' terms.

Console and API answer with the same ones: a dashboard takes the largest of both, never the sum.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from metering.catalogue.periods import Day
from metering.catalogue.sources import POLLED_SOURCES, SOURCES
from metering.days import completeness
from metering.errors import FleetmeterError

DAYS = 7  # complete days up to yesterday that are searched for missing ones

# Name -> what it measures, and its label. Dashboards rely on the names.
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "fleetmeter_up": ("Whether the database answers.", ()),
    "fleetmeter_projects": ("Projects with running totals.", ()),
    "fleetmeter_projects_measured": ("Projects that a source measured in the last two hours.", ("source",)),
    "fleetmeter_missing_days": (f"Days of projects that are not sealed, of the last {DAYS} days.", ()),
    "fleetmeter_jobs": ("Job runs that are queued or running.", ("state",)),
    "fleetmeter_job_queue_oldest_seconds": ("Age of the oldest queued run.", ()),
    "fleetmeter_workers": ("Processes seen in the last 30 seconds.", ("role",)),
    "fleetmeter_alerts_open": ("Alerts that are not resolved.", ()),
    "fleetmeter_gaps_open": ("Gaps that block a close: neither covered nor accepted.", ()),
    "fleetmeter_unattributed_messages": (
        "MQTT messages that match no project, of this hour and the one before.",
        ("reason",),
    ),
    "fleetmeter_source_age_seconds": ("Age of the newest measurement of a source.", ("source",)),
}
_FRESH = "> CAST(:at AS timestamptz) - interval '2 hours'"
_AGES = ", ".join(f"max({source.measured_at}) AS {source.name}_at" for source in SOURCES)
_MEASURED = ", ".join(
    f"count(*) FILTER (WHERE {source.measured_at} {_FRESH}) AS {source.name}_n" for source in POLLED_SOURCES
)
_BY_SOURCE = [
    *(
        f"('fleetmeter_source_age_seconds', '{s.name}', extract(epoch FROM :at - {s.name}_at))"
        for s in SOURCES
    ),
    *(  # a source that never measured anything has no age
        f"('fleetmeter_projects_measured', '{s.name}', CASE WHEN {s.name}_at IS NOT NULL THEN {s.name}_n END)"
        for s in POLLED_SOURCES
    ),
]
METRICS = text(f"""
    WITH s AS MATERIALIZED (SELECT count(*) AS projects, {_AGES}, {_MEASURED} FROM project_stats)
    SELECT f.name, f.label, f.value::float FROM s, LATERAL (VALUES
        ('fleetmeter_projects', NULL, s.projects), {", ".join(_BY_SOURCE)}) AS f (name, label, value)
    UNION ALL SELECT 'fleetmeter_jobs', w.state, count(r.id)
        FROM (VALUES ('queued'), ('running')) AS w (state) LEFT JOIN job_runs r ON r.state = w.state
        GROUP BY w.state
    UNION ALL SELECT 'fleetmeter_job_queue_oldest_seconds', NULL,
        coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM job_runs WHERE state = 'queued'
    UNION ALL SELECT 'fleetmeter_workers', role, count(*) FROM workers
        WHERE last_seen_at > now() - interval '30 seconds' GROUP BY role
    UNION ALL SELECT 'fleetmeter_alerts_open', NULL, count(*) FROM alerts WHERE resolved_at IS NULL
    UNION ALL SELECT 'fleetmeter_gaps_open', NULL, count(*) FROM gaps
        WHERE covered_at IS NULL AND accepted_at IS NULL
    UNION ALL SELECT 'fleetmeter_unattributed_messages', reason, sum(messages) FROM unattributed_messages
        WHERE hour > CAST(:at AS timestamptz) - interval '2 hours' GROUP BY reason""")

Figure = tuple[str, str | None, float | None]


class Snapshot(Protocol):
    """A transaction that sees every row, and the instant that it shows, in UTC."""

    @property
    def connection(self) -> Connection:
        """Return the transaction's connection."""

    @property
    def at(self) -> datetime:
        """Return the instant."""


def require_tables(connection: Connection) -> None:
    """Read one of our tables. Raises the database's error if it does not exist."""
    connection.execute(text("SELECT FROM project_stats LIMIT 1"))


def current_figures(transaction: AbstractContextManager[Snapshot]) -> bytes:
    """Return the current figures in Prometheus' text format; fleetmeter_up 0 if they cannot be read."""
    try:
        with transaction as reading:
            return read(reading.connection, reading.at)
    except (FleetmeterError, SQLAlchemyError):
        return _exposition([("fleetmeter_up", None, 0)])


def read(connection: Connection, at: datetime) -> bytes:
    """Return the figures at `at` in Prometheus' text format; an unknown one has no line.

    `connection` sees every row: its caller has no limit.
    """
    rows = connection.execute(METRICS, {"at": at}).all()
    missing = ("fleetmeter_missing_days", None, float(_missing_days(connection, at)))
    return _exposition([("fleetmeter_up", None, 1), missing, *((r.name, r.label, r.value) for r in rows)])


def _missing_days(connection: Connection, at: datetime) -> int:
    yesterday = at.date() - timedelta(days=1)
    days = completeness.read(connection, Day(yesterday - timedelta(days=DAYS - 1)), Day(yesterday), at)
    return len(completeness.find_missing(connection, days, at))


def _exposition(figures: Sequence[Figure]) -> bytes:
    registry = CollectorRegistry()
    gauges: dict[str, Gauge] = {}
    for name, label, value in figures:
        if value is None:
            continue
        if name not in gauges:
            gauges[name] = Gauge(name, *GAUGES[name], registry=registry)
        (gauges[name] if label is None else gauges[name].labels(label)).set(value)
    return generate_latest(registry)
