"""Claims of a client id: its row in `mqtt_sessions`, which daemon owns it, and how another takes over."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, text

from collectors.mqtt.endpoint import Endpoint
from metering.db import workers
from metering.db.clock import AGREED
from metering.db.transactions import transaction
from metering.errors import FleetmeterError
from metering.ledger import sessions


class Fenced(FleetmeterError):
    """Another daemon has taken over this client id."""


class Clock(NamedTuple):
    """The host's time, and by how many seconds it may differ from the database's."""

    at: datetime
    tolerance: float

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of AGREED."""
        return {"at": self.at, "tolerance": self.tolerance}


@dataclass(frozen=True)
class Claim:
    """The daemon's epoch, the session as its predecessor left it, and the instant of the claim."""

    client_id: str
    epoch: int
    last_packet_id: int | None
    at: datetime


CLAIM = text(f"""
    INSERT INTO mqtt_sessions AS m (client_id, epoch, broker, shared_group, approximate)
    VALUES (:client, 1, :broker, :group, :approximate)
    ON CONFLICT (client_id) DO UPDATE SET
        epoch = m.epoch + 1, broker = excluded.broker, connected = false,
        shared_group = excluded.shared_group, approximate = excluded.approximate
    RETURNING client_id, epoch, last_packet_id, {AGREED} AS at""")


def claim(
    engine: Engine, broker: Endpoint, group: str | None, session_present: bool, clock: Clock
) -> tuple[Claim, bool]:
    """Take over the client id, so that its previous owner can commit nothing more.

    To be called once the broker has accepted a connection; `session_present` is its answer. Returns the
    claim, and whether a gap was opened because the broker has lost the session. Waits for a running commit
    of the previous owner, so `last_packet_id` is final.
    """
    parameters = {
        "client": broker.client_id,
        "broker": broker.name,
        "group": group,
        "approximate": broker.approximate,
        **clock.parameters(),
    }
    with transaction(engine) as connection:
        claimed = Claim(*connection.execute(CLAIM, parameters).one())
        lost = record_connection(connection, claimed, session_present, None, clock)
        workers.heartbeat(connection, worker_name(claimed.client_id), "counter", {"connected": False})
    if not session_present:
        claimed = Claim(claimed.client_id, claimed.epoch, None, claimed.at)
    return claimed, lost


class Owner(NamedTuple):
    """The daemon that owns a session: its epoch, when it was last connected, whether it has left."""

    epoch: int
    last_seen_at: datetime | None
    has_left: bool


def owner(engine: Engine, client_id: str) -> Owner | None:
    """Return the owner of the session `client_id`; None if it was never claimed."""
    query = text("""
        SELECT m.epoch, m.last_seen_at, w.name IS NULL FROM mqtt_sessions m
        LEFT JOIN workers w ON w.name = :worker WHERE m.client_id = :client""")
    with transaction(engine) as connection:
        row = connection.execute(query, {"client": client_id, "worker": worker_name(client_id)}).one_or_none()
    return None if row is None else Owner(*row)


def remove_worker(engine: Engine, client_id: str) -> None:
    """Note that no daemon counts under `client_id`: a daemon that stands by takes over at once."""
    with transaction(engine) as connection:
        workers.leave(connection, worker_name(client_id))


def worker_name(client_id: str) -> str:
    """Return the name of a counter daemon in `workers`."""
    return f"counter {client_id}"


def record_connection(
    connection: Connection, own: Claim, session_present: bool, blind: timedelta | None, clock: Clock
) -> bool:
    """Record the broker's answer in the session's row; return whether a gap was opened."""
    if session_present:
        assignments = (
            f"last_seen_at = {AGREED}, session_started_at = coalesce(m.session_started_at, {AGREED})"
        )
    else:
        assignments = f"last_packet_id = NULL, last_seen_at = {AGREED}, session_started_at = {AGREED}"
    assignments += ", retired_at = NULL, retired_by = NULL, retired_reason = NULL"
    row = update_own(connection, own, assignments, clock.parameters())
    if row is None:
        raise Fenced(f"another counter has taken over client id {own.client_id}; this one stands by")
    # A session that was retired had been given up; and one that starts at this very instant is recorded
    # already: the answer to a first attempt was lost.
    lost = not session_present and row.retired_at is None and row.session_started_at not in (None, clock.at)
    if lost:
        since = row.seen_at - blind if blind is not None else row.last_seen_at or row.session_started_at
        sessions.open_session_lost(connection, own.client_id, since, row.seen_at)
    return lost


def update_own(connection: Connection, own: Claim, assignments: str, parameters: dict[str, Any]) -> Any:
    """Update the session's row if `own` still holds it; return None if another daemon does."""
    statement = f"""
        UPDATE mqtt_sessions m SET {assignments}
        FROM (SELECT client_id, session_started_at, last_seen_at, retired_at FROM mqtt_sessions
            WHERE client_id = :client FOR UPDATE) before
        WHERE m.client_id = before.client_id AND m.epoch = :epoch
        RETURNING before.session_started_at, before.last_seen_at, before.retired_at,
            m.last_seen_at AS seen_at, clock_timestamp() AS database_at"""
    identity = {"client": own.client_id, "epoch": own.epoch}
    return connection.execute(text(statement), parameters | identity).one_or_none()
