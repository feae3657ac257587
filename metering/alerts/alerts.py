"""Open, escalate and resolve incidents by rules; acknowledge them.

A rule is a query of the problems that exist now: severity, project_id (NULL: of no single project), subject
(its cause) and detail. A problem without an open alert opens one; one that is worse than before (a higher
severity or `percent`) escalates it, which takes an acknowledgement away; an open alert without a problem
is resolved; a second refresh at the same instant changes nothing. Kind `anomaly` has no rule: the job that
judges days opens these alerts, and they resolve after a week.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from metering.alerts import thresholds
from metering.alerts.rules import RULES
from metering.catalogue.periods import Day, Month
from metering.db import audit_log
from metering.db.transactions import advisory_lock
from metering.errors import UnknownAlert
from metering.months.due import due_months
from metering.organizations import budgets
from metering.pricing.month_versions import in_month
from metering.pricing.plans import Plans
from metering.running import allowances, shares

SEALING = timedelta(hours=1)  # after midnight: the job that seals needs some time for many projects

# An entry of an alert's history: what it is now.
ENTRY = """jsonb_strip_nulls(jsonb_build_object('at', CAST(:at AS timestamptz), 'event', '{event}',
    'severity', {row}.severity, 'percent',
    CASE WHEN :kind IN ('limit', 'budget') THEN {row}.detail->'percent' END))"""
# Worse than it ever was since it opened: one that rises and falls is told once.
WORSE = """(excluded.severity = 'critical' AND coalesce(a.history->-1->>'severity', a.severity) <> 'critical'
    OR CASE WHEN a.kind IN ('limit', 'budget') THEN coalesce((excluded.detail->>'percent')::int
        > coalesce(a.history->-1->>'percent', a.detail->>'percent', '0')::int, false) ELSE false END)"""

REFRESH = """
    WITH problems AS MATERIALIZED ({rule}),
    resolved AS (
        UPDATE alerts a SET resolved_at = :at WHERE a.kind = :kind AND a.resolved_at IS NULL
        AND NOT EXISTS (SELECT FROM problems p WHERE p.subject = a.subject
            AND p.project_id IS NOT DISTINCT FROM a.project_id)
        RETURNING 1),
    opened AS (
        INSERT INTO alerts AS a
            (kind, severity, project_id, organization_id, subject, detail, opened_at, history)
        SELECT :kind, severity, project_id,
            CASE WHEN project_id IS NULL THEN (detail->>'organization_id')::bigint END, subject, detail, :at,
            jsonb_build_array({opened}) FROM problems
        ON CONFLICT (kind, subject, coalesce(project_id, 0)) WHERE resolved_at IS NULL
        DO UPDATE SET severity = excluded.severity, detail = excluded.detail,
            acknowledged_by = CASE WHEN {worse} THEN NULL ELSE a.acknowledged_by END,
            acknowledged_at = CASE WHEN {worse} THEN NULL ELSE a.acknowledged_at END,
            note = CASE WHEN {worse} THEN NULL ELSE a.note END,
            history = CASE WHEN {worse} THEN a.history || {escalated} ELSE a.history END
            WHERE (a.severity, a.detail) IS DISTINCT FROM (excluded.severity, excluded.detail)
        RETURNING xmax = 0 AS new)
    SELECT (SELECT count(*) FROM opened WHERE new), (SELECT count(*) FROM resolved)"""

RESOLVE_ANOMALIES = text("""
    UPDATE alerts SET resolved_at = :at WHERE kind = 'anomaly' AND resolved_at IS NULL
    AND CAST(detail->>'date' AS date) < CAST(:at AS timestamptz) - interval '7 days'""")

ACKNOWLEDGE = text("""
    WITH before AS (SELECT id, acknowledged_by FROM alerts WHERE id = :id FOR UPDATE)
    UPDATE alerts a SET acknowledged_by = :actor, acknowledged_at = now(), note = :note
    FROM before WHERE a.id = before.id
    RETURNING a.kind, a.subject, before.acknowledged_by""")


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
    parameters = _parameters(connection, at, plans)
    parameters |= {"drift_percent": drift_percent, "clock_tolerance": clock_tolerance}
    counts = [
        connection.execute(_statement(rule), parameters | {"kind": kind}).one()
        for kind, rule in RULES.items()
    ]
    resolved = connection.execute(RESOLVE_ANOMALIES, {"at": at}).rowcount
    return Changes(sum(row[0] for row in counts), resolved + sum(row[1] for row in counts))


def _statement(rule: str) -> Any:
    entries = {
        "opened": ENTRY.format(event="opened", row="problems"),
        "escalated": ENTRY.format(event="escalated", row="excluded"),
    }
    return text(REFRESH.format(rule=rule, worse=WORSE, **entries))


def _parameters(connection: Connection, at: datetime, plans: Plans) -> dict[str, Any]:
    today, month = Day.of(at - SEALING), Month.of(at)
    versions = in_month(plans, month)
    due = [due.first.date for due in due_months(connection, at - SEALING)]
    parameters: dict[str, Any] = {"at": at, "month": str(month), "project_id": None, "due_months": due}
    parameters |= {"currency": versions.last.currency, "since_failed": at - timedelta(days=7)}
    parameters |= {"since": today.start - timedelta(days=30), "until": today.start}
    parameters |= {"thresholds": list(thresholds.DEFAULT), "budget_thresholds": list(budgets.THRESHOLDS)}
    compared = [asdict(budget) for budget in budgets.compare(connection, plans, at)]
    parameters |= {"budgets": json.dumps(compared, default=str)}
    near = thresholds.least(connection)
    behind, included = bool(due_months(connection, at)), shares.of_projects(connection, versions, at)
    return parameters | allowances.parameters(versions, at, near, behind, included)


def acknowledge(connection: Connection, alert_id: int, actor: str, note: str) -> None:
    """Record that `actor` acknowledges an alert, with a note, in the alert and in the audit log.

    Raises UnknownAlert if there is no alert of that id.
    """
    words = note.strip() or None
    row = connection.execute(ACKNOWLEDGE, {"id": alert_id, "actor": actor, "note": words}).one_or_none()
    if row is None:
        raise UnknownAlert(f"there is no alert {alert_id}; see: fleetmeter alerts")
    subject = f"alert {alert_id}: {row.kind} {row.subject}"
    before = {"alert": alert_id, "acknowledged_by": row.acknowledged_by}
    after = {"alert": alert_id, "acknowledged_by": actor}
    audit_log.record(connection, actor, "acknowledge", subject, before, after, words)
