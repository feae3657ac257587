"""The audit log: who did what to what, before and after, recorded in the transaction of the change itself."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True)
class Entry:
    """One entry: who did what to what at an instant (UTC), the thing before and after, and why."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None


@dataclass(frozen=True)
class Filter:
    """Which entries: from `since` until before `until`, in UTC; None and empty leave a condition out.

    `actor` and `subject` are parts of the text in any case, `action` is whole.
    """

    since: datetime | None = None
    until: datetime | None = None
    actor: str = ""
    action: str = ""
    subject: str = ""

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of MATCHES."""
        return asdict(self)


# SQL over a row `t`; parts of a text are compared without LIKE, whose signs people may well type.
MATCHES = """(CAST(:since AS timestamptz) IS NULL OR t.at >= :since)
    AND (CAST(:until AS timestamptz) IS NULL OR t.at < :until)
    AND (CAST(:action AS text) = '' OR t.action = :action)
    AND (CAST(:actor AS text) = '' OR position(lower(:actor) IN lower(t.actor)) > 0)
    AND (CAST(:subject AS text) = '' OR position(lower(:subject) IN lower(t.subject)) > 0)"""
ENTRIES = text(f"""
    SELECT id, at, actor, action, subject, before, after, reason FROM audit_log t
    WHERE {MATCHES} AND (CAST(:before_id AS bigint) IS NULL OR id < :before_id)
    ORDER BY id DESC LIMIT :most""")


def entries(connection: Connection, matching: Filter, most: int, before_id: int | None = None) -> list[Entry]:
    """Return at most `most` entries, newest first; with `before_id` only older ones."""
    parameters = matching.parameters() | {"most": most, "before_id": before_id}
    return [Entry(**row) for row in connection.execute(ENTRIES, parameters).mappings()]


def actions(connection: Connection) -> list[str]:
    """Return the names of the actions that the log holds, in order."""
    # One look into the index for each name; DISTINCT would read the whole log.
    query = text("""
        WITH RECURSIVE names AS (
            (SELECT action FROM audit_log ORDER BY action LIMIT 1)
            UNION ALL
            SELECT (SELECT a.action FROM audit_log a WHERE a.action > n.action ORDER BY a.action LIMIT 1)
            FROM names n WHERE n.action IS NOT NULL)
        SELECT action FROM names WHERE action IS NOT NULL""")
    return list(connection.scalars(query))
