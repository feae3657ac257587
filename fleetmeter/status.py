"""`fleetmeter status`: who is alive, how fresh each source is, what is open, what waits."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, text

from metering.alerts import backlog, reconciliation
from metering.approvals import approvals
from metering.catalogue import projects
from metering.catalogue.periods import Day, Month
from metering.catalogue.sources import SOURCE_NAMES
from metering.days import expected_days
from metering.db import clock
from metering.db.transactions import transaction
from metering.ledger import sessions
from metering.months import blockers
from metering.months.due import due_months
from metering.pricing.plans import Plans
from metering.runs import listing, pauses
from metering.runs.outcome import label

WORKERS = """
    SELECT name, role, host, pid, last_seen_at,
        last_seen_at > clock_timestamp() - interval '30 seconds' AS alive,
        (figures->>'rate_per_second')::numeric AS messages_per_second,
        (figures->>'clock_difference_seconds')::numeric AS clock_difference_seconds
    FROM workers WHERE last_seen_at > clock_timestamp() - interval '7 days'
    ORDER BY role, last_seen_at DESC LIMIT 20"""

SOURCE = """
    SELECT count(*) FILTER (WHERE {0}_measured_at IS NOT NULL) AS projects_measured,
        max({0}_measured_at) AS last_measured_at, min({0}_measured_at) AS oldest_measured_at
    FROM project_stats"""

UNATTRIBUTED = """
    SELECT reason, sum(messages)::bigint AS messages FROM unattributed_messages
    WHERE hour > CAST(:at AS timestamptz) - interval '24 hours' GROUP BY reason ORDER BY 2 DESC"""


def read(engine: Engine, at: datetime, price_plans: Plans) -> dict[str, Any]:
    """Return the values that `status` prints, ready for JSON; `at` is now."""
    with transaction(engine) as connection:
        return {
            "at": at,
            "clock_difference_seconds": round(clock.difference(connection, at).total_seconds(), 1),
            "workers": _rows(connection, WORKERS),
            "counters": [
                {**member._asdict(), "state": member.state(at)} for member in sessions.members(connection)
            ],
            "sources": {source: sources(connection)[source] for source in SOURCE_NAMES},
            "jobs": _jobs(connection),
            "queue": listing.waiting(connection),
            "paused": [asdict(pause) for pause in pauses.current(connection, at)],
            "approvals": [asdict(approval) for approval in approvals.waiting(connection)],
            "catch_up": backlog.plan(connection, at),
            "missing_days_last_30": missing(connection, at),
            "months": months(connection, at, price_plans),
            "open_gaps": _rows(
                connection,
                "SELECT * FROM gaps WHERE covered_at IS NULL"
                " AND accepted_at IS NULL ORDER BY starts_at LIMIT 20",
            ),
            "reconciliation": _rows(connection, reconciliation.LAST),
            "unattributed_messages_last_24_h": _rows(connection, UNATTRIBUTED, at=at),
        }


def _jobs(connection: Connection) -> list[dict[str, Any]]:
    """Return the last run of each job; `state` says how many projects it left out."""
    names = ("job", "period", "state", "finished_at", "errors")
    return [
        {name: row[name] for name in names} | {"state": label(row["state"], row["result"], row["errors"])}
        for row in listing.latest(connection)
    ]


def sources(connection: Connection) -> dict[str, dict[str, Any]]:
    """Return how fresh each source is: None where it was never measured."""
    return {source: _rows(connection, SOURCE.format(source))[0] for source in SOURCE_NAMES}


def months(connection: Connection, at: datetime, price_plans: Plans) -> dict[str, Any]:
    """Return the months that are over and open, each with the projects that block it and why."""
    ids = projects.ids(connection)
    return {
        str(month): {
            "blocked": blockers.unpriced(connection, month, ids, price_plans)
            | blockers.blocked(connection, month, ids)
        }
        for month in due_months(connection, at)
    } | {str(Month.of(at)): {"running": True}}


def missing(connection: Connection, at: datetime) -> int:
    """Return how many expected days of the last thirty are not sealed."""
    last = Day.of(at).previous()
    first = Day.of(at.replace(hour=0) - 30 * (last.end - last.start))
    return len(expected_days.missing_days(connection, first, last, at))


def _rows(connection: Connection, query: str, **parameters: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(query), parameters).mappings()]
