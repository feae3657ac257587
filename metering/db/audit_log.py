"""Record who did what to what, before and after, in the transaction of the change itself."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

# For statements that record a row for each row they change; a SELECT of these columns follows.
INSERT = "INSERT INTO audit_log (at, actor, action, subject, before, after, reason)"

RECORD = text(f"""{INSERT} VALUES (coalesce(CAST(:at AS timestamptz), now()), :actor, :action, :subject,
    CAST(:before AS jsonb), CAST(:after AS jsonb), :reason)""")


def record(
    connection: Connection,
    actor: str,
    action: str,
    subject: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str | None = None,
    at: datetime | None = None,
) -> None:
    """Append one entry. `subject` names the thing: `project 7`, `run 12`, `2026-10`.

    `before` and `after` are the thing as it was and is; values that JSON lacks are stored as text.
    `at` defaults to the transaction's start, by the database's clock.
    """
    entry = {"at": at, "actor": actor, "action": action, "subject": subject, "reason": reason}
    connection.execute(RECORD, entry | {"before": _json(before), "after": _json(after)})


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(dict(value), default=str)
