"""Approvals: a second person agrees before an action that FLEETMETER_APPROVAL names, never the same one.

Only people who are signed in to the console ask and decide: a name at a terminal proves nothing. The schedule
asks for the close of a month that is over. The database refuses a decision by the person who asked.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from metering.config.settings import Approvable, Settings
from metering.db import audit_log
from metering.errors import ApprovalRefused, NeedsApproval

NAMES: Mapping[Approvable, str] = {
    "adjustment": "Posting an adjustment",
    "gap": "Accepting a gap",
    "close": "Closing a month",
}
SCHEDULE = "schedule"  # asks for the close of a month; a person who asks too takes its place

ASK = text("""
    INSERT INTO approvals AS a (action, subject, arguments, reason, asked_by, asked_at)
    VALUES (:action, :subject, CAST(:arguments AS jsonb), :reason, :asked_by, :at)
    ON CONFLICT (action, subject, arguments) WHERE state = 'waiting' DO UPDATE SET
        asked_by = CASE WHEN a.asked_by = 'schedule' THEN excluded.asked_by ELSE a.asked_by END
    RETURNING a.id, a.xmax = 0 AS is_new""")
DECIDE = text("""
    UPDATE approvals SET state = :state, decided_by = :decided_by, decided_at = :decided_at, note = :note
    WHERE id = :id""")
COLUMNS = (
    """id, action, subject, arguments, reason, asked_by, asked_at, state, decided_by, decided_at, note"""
)


@dataclass(frozen=True)
class Approval:
    """A request for approval; `state` is waiting, approved or refused, instants are UTC."""

    id: int
    action: Approvable
    subject: str
    arguments: dict[str, Any]
    reason: str | None
    asked_by: str
    asked_at: datetime
    state: str
    decided_by: str | None
    decided_at: datetime | None
    note: str | None


def refuse(settings: Settings, action: Approvable) -> None:
    """Raise NeedsApproval where `action` takes a second person, for callers that cannot ask one."""
    if action in settings.approval:
        raise NeedsApproval(
            f"{NAMES[action]} takes the approval of a second person (FLEETMETER_APPROVAL); ask for it in the "
            "console, where people sign in"
        )


def ask(
    connection: Connection,
    action: Approvable,
    subject: str,
    asked_by: str,
    at: datetime,
    arguments: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> int:
    """Ask for approval at `at`; returns its id, or that of the same request if it still waits."""
    values = {"action": action, "subject": subject, "asked_by": asked_by, "at": at, "reason": reason}
    row = connection.execute(ASK, values | {"arguments": json.dumps(arguments or {}, default=str)}).one()
    if row.is_new:
        after = {"approval": row.id, "action": action} | dict(arguments or {})
        audit_log.record(connection, asked_by, "ask-approval", subject, after=after, reason=reason, at=at)
    return int(row.id)


def decide(
    connection: Connection, approval_id: int, approve: bool, actor: str, at: datetime, note: str = ""
) -> Approval:
    """Approve or refuse a request; returns the approval. The caller carries it out in this transaction.

    Raises ApprovalRefused if there is no such approval, if it is decided already, or if `actor` asked for it.
    """
    query = text(f"SELECT {COLUMNS} FROM approvals WHERE id = :id FOR UPDATE")
    row = connection.execute(query, {"id": approval_id}).mappings().one_or_none()
    if row is None:
        raise ApprovalRefused(f"there is no approval {approval_id}")
    before = Approval(**row)
    if before.state != "waiting":
        raise ApprovalRefused(f"approval {approval_id} was already {before.state} by {before.decided_by}")
    if before.asked_by == actor:
        raise ApprovalRefused(
            f"{actor} asked for approval {approval_id} and cannot decide it; another person must"
        )
    state = "approved" if approve else "refused"
    why = note.strip() or None
    decision = {"state": state, "decided_by": actor, "decided_at": at, "note": why}
    connection.execute(DECIDE, decision | {"id": approval_id})
    thing = {"approval": approval_id, "action": before.action, "asked_by": before.asked_by}
    was, became = thing | {"state": before.state}, thing | {"state": state}
    action = "approve" if approve else "refuse-approval"
    audit_log.record(connection, actor, action, before.subject, was, became, why, at)
    return Approval(**{**row, **decision})


def waiting(connection: Connection) -> list[Approval]:
    """Return the approvals that wait for a decision, oldest first."""
    query = text(f"SELECT {COLUMNS} FROM approvals WHERE state = 'waiting' ORDER BY id")
    return [Approval(**row) for row in connection.execute(query).mappings()]


def is_approved(connection: Connection, action: Approvable, subject: str) -> bool:
    """Return whether somebody approved `action` on `subject`, such as the close of `2026-10`."""
    query = text("""SELECT count(*) FROM approvals
        WHERE action = :action AND subject = :subject AND state = 'approved'""")
    return bool(connection.scalar(query, {"action": action, "subject": subject}))
