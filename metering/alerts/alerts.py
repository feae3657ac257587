"""Alerts: rules over what is true in the database. Each opens once and resolves by itself.

A rule is a query of what is wrong now: severity, project_id (NULL: no one project), subject and
detail. What it names and is not open is opened, what is open and no longer named is resolved; a
second look at the same truth changes nothing. Kind `anomaly` has no rule: the job that judges days
opens those, and they are news for a week.
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
    WITH wrong AS MATERIALIZED ({rule}),
    resolved AS (
        UPDATE alerts a SET resolved_at = :at WHERE a.kind = :kind AND a.resolved_at IS NULL
        AND NOT EXISTS (SELECT FROM wrong w WHERE w.subject = a.subject
            AND w.project_id IS NOT DISTINCT FROM a.project_id)
        RETURNING 1),
    opened AS (
        INSERT INTO alerts AS a (kind, severity, project_id, subject, detail, opened_at)
        SELECT :kind, severity, project_id, subject, detail, :at FROM wrong
        ON CONFLICT (kind, subject, coalesce(project_id, 0)) WHERE resolved_at IS NULL
        DO UPDATE SET severity = excluded.severity, detail = excluded.detail
            WHERE (a.severity, a.detail) IS DISTINCT FROM (excluded.severity, excluded.detail)
        RETURNING xmax = 0 AS new)
    SELECT (SELECT count(*) FROM opened WHERE new), (SELECT count(*) FROM resolved)"""

OLD_NEWS = text("""
    UPDATE alerts SET resolved_at = :at WHERE kind = 'anomaly' AND resolved_at IS NULL
    AND CAST(detail->>'date' AS date) < CAST(:at AS timestamptz) - interval '7 days'""")

ACKNOWLEDGE = text("""
    WITH before AS (SELECT id, acknowledged_by FROM alerts WHERE id = :id FOR UPDATE)
    UPDATE alerts a SET acknowledged_by = :actor FROM before WHERE a.id = before.id
    RETURNING a.kind, a.subject, before.acknowledged_by""")

LISTED = text("""
    SELECT a.id, a.kind, a.severity, a.project_id, p.name AS project, a.subject, a.detail, a.opened_at,
        a.resolved_at, fleetmeter_staff(a.acknowledged_by) AS acknowledged_by
    FROM alerts a LEFT JOIN projects p ON p.id = a.project_id
    WHERE (a.resolved_at IS NULL OR :resolved) AND (CAST(:kind AS text) IS NULL OR a.kind = :kind)
    ORDER BY a.resolved_at IS NOT NULL, a.severity = 'critical' DESC, a.id DESC LIMIT :most""")


@dataclass(frozen=True)
class Changes:
    """How many alerts one look opened and resolved."""

    opened: int = 0
    resolved: int = 0


def refresh(
    connection: Connection,
    at: datetime,
    offered: Plans,
    drift_percent: float = 1.0,
    clock_tolerance: float = 60.0,
) -> Changes:
    """Open and resolve alerts by what is true at `at` (aware, UTC); one look at a time.

    `drift_percent`: by how much a broker's own count may differ. `clock_tolerance`: by how many seconds
    the clock of a host may differ from the database's.
    """
    advisory_lock(connection, "alerts")
    over = Day.of(at - rules.SEALING)
    given = {"at": at, "month": str(Month.of(at)), "project_id": None}
    given |= {"drift_percent": drift_percent, "clock_tolerance": clock_tolerance}
    given |= {"due_months": [month.first.date for month in due_months(connection, at - rules.SEALING)]}
    given |= {"currency": offered.in_force(Month.of(at).last.date).currency}
    given |= {"since_failed": at - timedelta(days=7)}
    given |= {"since": over.start - timedelta(days=30), "until": over.start}
    given |= allowances.parameters(
        offered.in_force(at.date()), at, rules.NEAR, bool(due_months(connection, at))
    )
    counts = [
        connection.execute(text(REFRESH.format(rule=rule)), given | {"kind": kind}).one()
        for kind, rule in rules.RULES.items()
    ]
    old = connection.execute(OLD_NEWS, {"at": at}).rowcount
    return Changes(sum(row[0] for row in counts), old + sum(row[1] for row in counts))


def acknowledge(connection: Connection, alert_id: int, actor: str, note: str) -> None:
    """Somebody looks after it: kept on the alert and, with the note, in the audit log.

    Raises UnknownAlert when there is none of that id.
    """
    row = connection.execute(ACKNOWLEDGE, {"id": alert_id, "actor": actor}).one_or_none()
    if row is None:
        raise UnknownAlert(f"there is no alert {alert_id}; see: fleetmeter alerts")
    subject = f"alert {alert_id}: {row.kind} {row.subject}"
    before, after = {"acknowledged_by": row.acknowledged_by}, {"acknowledged_by": actor}
    audit_log.record(connection, actor, "acknowledge", subject, before, after, note.strip() or None)


def listed(
    connection: Connection, resolved: bool = False, most: int = 200, kind: str | None = None
) -> list[dict[str, Any]]:
    """Open alerts, the critical ones first, and the resolved ones after them if asked for."""
    rows = connection.execute(LISTED, {"resolved": resolved, "most": most, "kind": kind})
    return [dict(row) for row in rows.mappings()]
