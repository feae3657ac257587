"""Read incidents for people: the alert, its sentence, its cost and its history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from metering.alerts import titles
from metering.catalogue import platform
from metering.catalogue.periods import Month
from metering.db.scope import own_parts
from metering.pricing.plans import Plans
from metering.running import spend

# The detail of an alert about a moved project for an organization: its own days, and no other organization.
_OWN_MOVE = f"""jsonb_build_object('owners', {own_parts("a.detail->'owners'")}, 'organization_id', CASE
    WHEN (a.detail->>'organization_id')::bigint = ANY ((SELECT fleetmeter_scope())::bigint[])
    THEN a.detail->'organization_id' END)"""
LIST = f"""
    SELECT a.id, a.kind, a.severity, a.project_id, p.name AS project,
        coalesce(a.organization_id, p.organization_id) AS organization_id, o.name AS organization, a.subject,
        CASE WHEN fleetmeter_unscoped() THEN a.detail ELSE (a.detail - 'error' - 'run'
                - 'used_by' - 'billed_to')
            || CASE WHEN a.kind = 'project_moved' THEN {_OWN_MOVE} ELSE '{{}}' END END AS detail,
        a.opened_at, a.resolved_at, fleetmeter_staff(a.acknowledged_by) AS acknowledged_by,
        a.acknowledged_at, CASE WHEN fleetmeter_unscoped() THEN a.note END AS note, a.history
    FROM alerts a LEFT JOIN {platform.PROJECTS} p ON p.id = a.project_id
    LEFT JOIN {platform.ORGANIZATIONS} o ON o.id = coalesce(a.organization_id, p.organization_id)"""
ORDER = "ORDER BY a.resolved_at IS NOT NULL, a.severity = 'critical' DESC, a.id DESC LIMIT :most"

# Only the conditions in use are in the statement, so that PostgreSQL plans each by its own index.
FILTERS = {
    "id": "a.id = :id",
    "kind": "a.kind = :kind",
    "severity": "a.severity = :severity",
    "project_id": "a.project_id = :project_id",
    "organization_id": "coalesce(a.organization_id, p.organization_id) = :organization_id",
    "search": """(position(lower(:search) IN lower(coalesce(p.name, '') || ' ' || coalesce(o.name, ''))) > 0
        OR a.project_id::text = :search)""",
    "acknowledged": "(a.acknowledged_by IS NOT NULL) = :acknowledged",
}

# Entries of version 0.1 do not hold the alert's id: it is the first part of their subject, `alert 7: …`.
ACKNOWLEDGED = text("""
    SELECT at, actor, reason FROM audit_log WHERE action = 'acknowledge'
        AND CASE WHEN after ? 'alert' THEN (after->'alert')::bigint = :id
            ELSE split_part(subject, ':', 1) = format('alert %s', CAST(:id AS bigint)) END
    ORDER BY id""")


@dataclass(frozen=True)
class Incident:
    """An alert as people read it. Instants are aware, UTC; `resolved_at` None: it is open.

    `detail`: numbers and words of its kind. `history`: entries with `at`, `event` (opened, escalated),
    severity and percent. `cost`: what it costs so far or is projected to cost, in `currency`; None where that
    is unknown or where no money is at stake (`has_cost` tells which).
    """

    id: int
    kind: str
    severity: str
    project_id: int | None
    project: str | None
    organization_id: int | None
    organization: str | None
    subject: str
    detail: dict[str, Any]
    opened_at: datetime
    resolved_at: datetime | None
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    note: str | None
    history: list[dict[str, Any]]
    cost: Decimal | None = None
    currency: str | None = None

    @property
    def title(self) -> str:
        """Return the incident as a sentence."""
        return titles.title(vars(self))

    @property
    def is_waiting(self) -> bool:
        """Return whether it is open and nobody has acknowledged it."""
        return self.resolved_at is None and self.acknowledged_by is None

    @property
    def has_cost(self) -> bool:
        """Return whether money is at stake; numbers of projects and users cost nothing."""
        return self.kind in AT_STAKE and not (self.kind == "limit" and "meter" not in self.detail)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON: the alert's columns, and `title`, `cost` (a string) and `currency`."""
        cost = None if self.cost is None else str(self.cost)
        return vars(self) | {"title": self.title, "cost": cost}


AT_STAKE = (
    *("limit", "budget", "unbilled", "month_blocked", "snapshot_missing", "correction_not_applied"),
    *("session_lost", "client_id_taken"),
)


def read(
    connection: Connection, resolved: bool = False, most: int = 200, **filters: int | str | bool | None
) -> list[Incident]:
    """Return the open incidents, critical and newest first, then the `resolved` ones on request.

    `filters`: values of FILTERS; None: any. `search` is a part of a name, or a project's id.
    """
    used = {name: value for name, value in filters.items() if value is not None}
    conditions = ["true" if resolved else "a.resolved_at IS NULL", *(FILTERS[name] for name in used)]
    query = text(f"{LIST} WHERE {' AND '.join(conditions)} {ORDER}")
    return [Incident(**row) for row in connection.execute(query, used | {"most": most}).mappings()]


def with_costs(
    connection: Connection, plans: Plans, at: datetime, incidents: Sequence[Incident]
) -> list[Incident]:
    """Return `incidents` with their costs as of `at`: for a limit, the overage of its meter so far."""
    month = str(Month.of(at))
    ids = {
        incident.project_id
        for incident in incidents
        if incident.kind == "limit" and incident.project_id and incident.detail.get("month") == month
    }
    charges = spend.overage(connection, plans, at, sorted(ids)) if ids else {}
    currency = plans.in_force(Month.of(at).last.date).currency
    return [_costing(incident, charges, currency) for incident in incidents]


def _costing(incident: Incident, charges: Mapping[tuple[int, str], Decimal], currency: str) -> Incident:
    detail = incident.detail
    if incident.kind == "limit" and incident.project_id:
        cost = charges.get((incident.project_id, str(detail.get("meter"))))
        return replace(incident, cost=cost, currency=None if cost is None else currency)
    if incident.kind == "budget" and "percent" in detail:
        over = Decimal(detail["projected"]) - Decimal(detail["amount"])
        return replace(incident, cost=max(over, Decimal(0)), currency=detail["currency"])
    if incident.kind == "correction_not_applied" and "amount" in detail:
        return replace(incident, cost=Decimal(detail["amount"]), currency=detail["currency"])
    return incident


def history(connection: Connection, incident: Incident) -> list[dict[str, Any]]:
    """Return the events of an incident, oldest first: `at`, `event`, `what` in words, `actor`, `note`."""
    entries = [
        {"at": datetime.fromisoformat(entry["at"]), "event": entry["event"], "what": _what(entry)}
        for entry in incident.history
        or [{"at": incident.opened_at.isoformat(), "event": "opened", "severity": incident.severity}]
    ]
    for row in connection.execute(ACKNOWLEDGED, {"id": incident.id}):
        entries.append({"at": row.at, "event": "acknowledged", "actor": row.actor, "note": row.reason})
    if incident.resolved_at:
        entries.append({"at": incident.resolved_at, "event": "resolved"})
    empty = {"what": None, "actor": None, "note": None}
    return [empty | entry for entry in sorted(entries, key=lambda entry: entry["at"])]


def _what(entry: Mapping[str, Any]) -> str:
    share = f" at {entry['percent']} %" if "percent" in entry else ""
    return f"{entry['severity']}{share}"
