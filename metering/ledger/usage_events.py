"""Remember which events were counted, by their `source` and `id`, so that none counts twice.

The unique key of the table decides, in the transaction of the counts: of two clients that send the same event
at once, the second waits for the first one's commit and then finds it counted.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from metering.db.prepared import Planned
from metering.db.transactions import in_batches, transaction

RETENTION = timedelta(days=35)
AT_ONCE = 10_000  # forgotten in one transaction


class EventKey(NamedTuple):
    """The identity of an event; `source` begins with the sender's organization, if it has one."""

    source: str
    id: str

    @classmethod
    def of(cls, organization_id: int | None, source: str, id: str) -> "EventKey":
        """Return the key of an event that a token of an organization sent, or of the platform for None.

        A source has no space, so that no organization can name the events of another one.
        """
        return cls(source if organization_id is None else f"{organization_id} {source}", id)


KEEP = Planned("""
    INSERT INTO usage_events (source, id, project_id, received_at)
    SELECT g.source, g.id, g.project_id, :at FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[]),
        CAST(:projects AS bigint[])) AS g (source, id, project_id) ORDER BY g.source, g.id
    ON CONFLICT DO NOTHING RETURNING source, id""")
DUPLICATES = text("""
    SELECT e.source, e.id FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS g (source, id)
    JOIN usage_events e USING (source, id)""")
TAKE_BACK = text("""
    DELETE FROM usage_events e USING unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS g (source, id)
    WHERE (e.source, e.id) = (g.source, g.id)""")
FORGET = text("""
    DELETE FROM usage_events WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM usage_events WHERE received_at < :before LIMIT :most FOR UPDATE SKIP LOCKED))""")
OLD = text("SELECT count(*) FROM usage_events WHERE received_at < :before")


def keep(
    connection: Connection, keys: Sequence[EventKey], project_ids: Sequence[int], at: datetime
) -> set[EventKey]:
    """Store the events `keys`, each of the project at its place, received at `at`; return the new ones."""
    if not keys:
        return set()
    parameters = _arrays(keys) | {"projects": list(project_ids), "at": at}
    return {EventKey(row.source, row.id) for row in KEEP.execute(connection, parameters)}


def duplicates(connection: Connection, keys: Sequence[EventKey]) -> set[EventKey]:
    """Return the events that were counted before."""
    if not keys:
        return set()
    return {EventKey(*row) for row in connection.execute(DUPLICATES, _arrays(keys))}


def take_back(connection: Connection, keys: Sequence[EventKey]) -> None:
    """Delete events that this transaction stored and cannot count."""
    if keys:
        connection.execute(TAKE_BACK, _arrays(keys))


def forget(engine: Engine, at: datetime, dry_run: bool = False) -> int:
    """Delete the events that are older than RETENTION at `at`, some in each transaction; return how many.

    A `dry_run` counts them and deletes nothing.
    """
    values = {"before": at - RETENTION, "most": AT_ONCE}
    if dry_run:
        with transaction(engine) as connection:
            return connection.scalar(OLD, values) or 0
    return in_batches(engine, AT_ONCE, lambda connection: connection.execute(FORGET, values).rowcount)


def _arrays(keys: Sequence[EventKey]) -> dict[str, list[str]]:
    return {"sources": [key.source for key in keys], "ids": [key.id for key in keys]}
