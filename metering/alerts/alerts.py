"""Open and resolve alerts by rules; list and acknowledge them.

A rule is a query of the problems that exist now: severity, project_id (NULL: of no single project),
subject and detail. A problem without an open alert opens one; an open alert without a problem is
resolved; a second refresh at the same instant changes nothing. Kind `anomaly` has no rule: the job that
judges days opens these alerts, and they resolve after a week.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from metering.alerts import rules
from metering.catalogue.periods import Day, Month
from metering.db import audit_log
from metering.db.transactions import advisory_lock
from metering.errors import UnknownAlert
from metering.months.due import due_months
from metering.pricing.plans import Plans
from metering.running import allowances

REFRESH = """
    WITH problems AS MATERIALIZED ({rule}),
    resolved AS (
        UPDATE alerts a SET resolved_at = :at WHERE a.kind = :kind AND a.resolved_at IS NULL
        AND NOT EXISTS (SELECT FROM problems p WHERE p.subject = a.subject
            AND p.project_id IS NOT DISTINCT FROM a.project_id)
        RETURNING 1),
    opened AS (
        INSERT INTO alerts AS a (kind, severity, project_id, subject, detail, opened_at)
        SELECT :kind, severity, project_id, subject, detail, :at FROM problems
        ON CONFLICT (kind, subject, coalesce(project_id, 0)) WHERE resolved_at IS NULL
        DO UPDATE SET severity = excluded.severity, detail = excluded.detail
            WHERE (a.severity, a.detail) IS DISTINCT FROM (excluded.severity, excluded.detail)
        RETURNING xmax = 0 AS new)
    SELECT (SELECT count(*) FROM opened WHERE new), (SELECT count(*) FROM resolved)"""

RESOLVE_ANOMALIES = text("""
    UPDATE alerts SET resolved_at = :at WHERE kind = 'anomaly' AND resolved_at IS NULL
    AND CAST(detail->>'date' AS date) < CAST(:at AS timestamptz) - interval '7 days'""")

ACKNOWLEDGE = text("""
    WITH before AS (SELECT id, acknowledged_by FROM alerts WHERE id = :id FOR UPDATE)
    UPDATE alerts a SET acknowledged_by = :actor FROM before WHERE a.id = before.id
    RETURNING a.kind, a.subject, before.acknowledged_by""")

LIST = text("""
    SELECT a.id, a.kind, a.severity, a.project_id, p.name AS project, a.subject, a.detail, a.opened_at,
        a.resolved_at, fleetmeter_staff(a.acknowledged_by) AS acknowledged_by
    FROM alerts a LEFT JOIN projects p ON p.id = a.project_id
    WHERE (a.resolved_at IS NULL OR :resolved) AND (CAST(:kind AS text) IS NULL OR a.kind = :kind)
    ORDER BY a.resolved_at IS NOT NULL, a.severity = 'critical' DESC, a.id DESC LIMIT :most""")


@dataclass(frozen=True)
class Changes:
    """How many alerts a refresh opened and resolved."""

    opened: int = 0
    resolved: int = 0


def refresh(
    connection: Connection,
    at: datetime,
    plans: Plans,
    drift_percent: float = 1.0,
    clock_tolerance: float = 60.0,
) -> Changes:
    """Open and resolve alerts as of `at` (aware, UTC); waits for another refresh that runs.

    `drift_percent`: by how much a broker's own count may differ. `clock_tolerance`: by how many seconds
    the clock of a host may differ from the database's.
    """
    advisory_lock(connection, "alerts")
    today = Day.of(at - rules.SEALING)
    parameters: dict[str, Any] = {"at": at, "month": str(Month.of(at)), "project_id": None}
    parameters |= {"drift_percent": drift_percent, "clock_tolerance": clock_tolerance}
    parameters |= {"due_months": [month.first.date for month in due_months(connection, at - rules.SEALING)]}
    parameters |= {"currency": plans.in_force(Month.of(at).last.date).currency}
    parameters |= {"since_failed": at - timedelta(days=7)}
    parameters |= {"since": today.start - timedelta(days=30), "until": today.start}
    parameters |= allowances.parameters(
        plans.in_force(Month.of(at).last.date), at, rules.NEAR, bool(due_months(connection, at))
    )
    counts = [
        connection.execute(text(REFRESH.format(rule=rule)), parameters | {"kind": kind}).one()
        for kind, rule in rules.RULES.items()
    ]
    resolved = connection.execute(RESOLVE_ANOMALIES, {"at": at}).rowcount
    return Changes(sum(row[0] for row in counts), resolved + sum(row[1] for row in counts))


def acknowledge(connection: Connection, alert_id: int, actor: str, note: str) -> None:
    """Record that `actor` looks after an alert; the note goes into the audit log.

    Raises UnknownAlert if there is no alert of that id.
    """
    row = connection.execute(ACKNOWLEDGE, {"id": alert_id, "actor": actor}).one_or_none()
    if row is None:
        raise UnknownAlert(f"there is no alert {alert_id}; see: fleetmeter alerts")
    subject = f"alert {alert_id}: {row.kind} {row.subject}"
    before, after = {"acknowledged_by": row.acknowledged_by}, {"acknowledged_by": actor}
    audit_log.record(connection, actor, "acknowledge", subject, before, after, note.strip() or None)


def list_alerts(
    connection: Connection, resolved: bool = False, most: int = 200, kind: str | None = None
) -> list[dict[str, Any]]:
    """Return the open alerts, critical ones first; with `resolved`, the resolved ones after them."""
    rows = connection.execute(LIST, {"resolved": resolved, "most": most, "kind": kind})
    return [dict(row) for row in rows.mappings()]
