"""The daemon's part of PostgreSQL: its session row, its counts, its heartbeat."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection, Engine, text

from collectors.mqtt.counters import Totals
from collectors.mqtt.endpoint import Endpoint
from metering.db import workers
from metering.db.clock import AGREED
from metering.db.transactions import transaction
from metering.errors import FleetmeterError
from metering.ledger import sessions
from metering.ledger.mqtt import add_mqtt, add_mqtt_isolated

LOG = structlog.get_logger("counter")
FLUSHES_OF_EPOCH = 2**32  # flush numbers that an epoch has for itself


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


class Store:
    """The database, under one client id and epoch.

    Every method raises Fenced if another daemon has taken over. Instants are those of `clock`, or of the
    database where the two differ by more than the tolerance.
    """

    def __init__(self, engine: Engine, claim: Claim) -> None:
        self.engine = engine
        self.claim = claim

    def commit(
        self,
        totals: Totals,
        last_packet_id: int | None,
        flush: int,
        clock: Clock,
        isolated: bool = False,
    ) -> datetime:
        """Write counts and the id of the last one in one transaction; returns their instant.

        `flush` numbers the flushes of this daemon: `was_committed` recognises one by it. `isolated`: leave
        out projects whose counts PostgreSQL refuses. Raises DataError if it refuses some otherwise.
        """
        with transaction(self.engine) as connection:
            row = self._update(
                connection,
                f"last_packet_id = :last, flush = :flush, last_seen_at = {AGREED}",
                last=last_packet_id,
                flush=self._flush_id(flush),
                **clock.parameters(),
            )
            if isolated:
                _write_isolated(connection, totals, row.seen_at)
            else:
                _write(connection, totals, row.seen_at)
            return _instant(row)

    def was_committed(self, flush: int) -> bool:
        """Return whether a flush was committed, when its answer was lost.

        FOR UPDATE waits for a transaction that the lost connection left running.
        """
        query = "SELECT flush, epoch FROM mqtt_sessions WHERE client_id = :client FOR UPDATE"
        with transaction(self.engine) as connection:
            row = connection.execute(text(query), {"client": self.claim.client_id}).one_or_none()
        if row is not None and row.flush == self._flush_id(flush):
            return True
        if row is None or row.epoch != self.claim.epoch:
            raise self._fenced()
        return False

    def commit_fenced(self, totals: Totals, clock: Clock) -> None:
        """Write the counts at QoS 0 of a fenced daemon: no broker sends them again to anybody."""
        with transaction(self.engine) as connection:
            at = connection.scalar(text(f"SELECT {AGREED}"), clock.parameters())
            _write(connection, totals.qos0(), at or clock.at)

    def require_own(self) -> None:
        """Check that this daemon still owns the session."""
        query = "SELECT epoch FROM mqtt_sessions WHERE client_id = :client"
        with transaction(self.engine) as connection:
            if connection.scalar(text(query), {"client": self.claim.client_id}) != self.claim.epoch:
                raise self._fenced()

    def record_connection(self, session_present: bool, blind: timedelta | None, clock: Clock) -> bool:
        """Record the broker's answer; returns whether a gap was opened.

        Without `session_present` the broker starts a new session, and everything since the connection was
        lost, `blind` ago, is lost too.
        """
        with transaction(self.engine) as connection:
            return _record_connection(connection, self.claim, session_present, blind, clock)

    def heartbeat(self, connected: bool, figures: dict[str, Any], clock: Clock) -> None:
        """Record that this daemon is alive, and if connected, that it has read until now."""
        assignment = f", last_seen_at = {AGREED}" if connected else ""
        with transaction(self.engine) as connection:
            row = self._update(
                connection,
                f"connected = :connected{assignment}",
                connected=connected,
                **(clock.parameters() if connected else {}),
            )
            difference = round((clock.at - row.database_at).total_seconds(), 1)
            figures = figures | {"clock_difference_seconds": difference}
            workers.heartbeat(connection, self.worker, "counter", figures)

    def open_takeover_gap(self, since: timedelta, clock: Clock) -> None:
        """Record that another client has taken messages of this session, and may go on doing so."""
        with transaction(self.engine) as connection:
            at = self._update(connection, f"last_seen_at = {AGREED}", **clock.parameters()).seen_at
            sessions.open_takeover(connection, self.claim.client_id, at - since)

    def close_takeover_gap(self, clock: Clock) -> None:
        """Record that the session has been undisturbed again until now."""
        with transaction(self.engine) as connection:
            at = self._update(connection, f"last_seen_at = {AGREED}", **clock.parameters()).seen_at
            sessions.close_takeover(connection, self.claim.client_id, at)

    def release(self) -> None:
        """Leave after a clean stop: everything received is counted."""
        with transaction(self.engine) as connection:
            self._update(connection, "connected = false")
            workers.leave(connection, self.worker)

    @property
    def worker(self) -> str:
        """Return the name of this counter in `workers`."""
        return worker_name(self.claim.client_id)

    def _flush_id(self, flush: int) -> int:
        return self.claim.epoch * FLUSHES_OF_EPOCH + flush

    def _update(self, connection: Connection, assignments: str, **parameters: Any) -> Any:
        row = _update_own(connection, self.claim, assignments, parameters)
        if row is None:
            raise self._fenced()
        return row

    def _fenced(self) -> Fenced:
        return Fenced(
            f"another counter has taken over client id {self.claim.client_id}; this one stands by. "
            "To run several at once, set MQTT_SHARED_GROUP and give each its own MQTT_CLIENT_ID"
        )


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
        lost = _record_connection(connection, claimed, session_present, None, clock)
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
    """Return the owner of the session `client_id`, None if nobody has ever claimed it."""
    query = text("""
        SELECT m.epoch, m.last_seen_at, w.name IS NULL FROM mqtt_sessions m
        LEFT JOIN workers w ON w.name = :worker WHERE m.client_id = :client""")
    with transaction(engine) as connection:
        row = connection.execute(query, {"client": client_id, "worker": worker_name(client_id)}).one_or_none()
    return None if row is None else Owner(*row)


def remove_worker(engine: Engine, client_id: str) -> None:
    """Note that nobody counts under `client_id`, so that a daemon that stands by takes over at once."""
    with transaction(engine) as connection:
        workers.leave(connection, worker_name(client_id))


def worker_name(client_id: str) -> str:
    """Return the name of a counter daemon in `workers`."""
    return f"counter {client_id}"


def _record_connection(
    connection: Connection, own: Claim, session_present: bool, blind: timedelta | None, clock: Clock
) -> bool:
    if session_present:
        assignments = (
            f"last_seen_at = {AGREED}, session_started_at = coalesce(m.session_started_at, {AGREED})"
        )
    else:
        assignments = f"last_packet_id = NULL, last_seen_at = {AGREED}, session_started_at = {AGREED}"
    assignments += ", retired_at = NULL, retired_by = NULL, retired_reason = NULL"
    row = _update_own(connection, own, assignments, clock.parameters())
    if row is None:
        raise Fenced(f"another counter has taken over client id {own.client_id}; this one stands by")
    # A session that was retired had been given up; and one that starts at this very instant is recorded
    # already: the answer to a first attempt was lost.
    lost = not session_present and row.retired_at is None and row.session_started_at not in (None, clock.at)
    if lost:
        since = row.seen_at - blind if blind is not None else row.last_seen_at or row.session_started_at
        sessions.open_session_lost(connection, own.client_id, since, row.seen_at)
    return lost


def _update_own(connection: Connection, own: Claim, assignments: str, parameters: dict[str, Any]) -> Any:
    statement = f"""
        UPDATE mqtt_sessions m SET {assignments}
        FROM (SELECT client_id, session_started_at, last_seen_at, retired_at FROM mqtt_sessions
            WHERE client_id = :client FOR UPDATE) before
        WHERE m.client_id = before.client_id AND m.epoch = :epoch
        RETURNING before.session_started_at, before.last_seen_at, before.retired_at,
            m.last_seen_at AS seen_at, clock_timestamp() AS database_at"""
    identity = {"client": own.client_id, "epoch": own.epoch}
    return connection.execute(text(statement), parameters | identity).one_or_none()


def _instant(row: Any) -> datetime:
    instant: datetime = row.seen_at
    return instant


def _write(connection: Connection, totals: Totals, at: datetime) -> None:
    add_mqtt(connection, totals.usage(), at, totals.malformed_topics())


def _write_isolated(connection: Connection, totals: Totals, at: datetime) -> None:
    refused = add_mqtt_isolated(connection, totals.usage(), at, totals.malformed_topics())
    LOG.error("PostgreSQL refuses the counts of some projects; they are unattributed", projects=refused[:20])
