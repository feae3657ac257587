"""The daemon's part of PostgreSQL: its session row, its counts, its heartbeat."""

import os
import socket
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import bindparam

from collectors.mqtt.counters import Totals
from metering.days import coverage
from metering.db.transactions import transaction
from metering.errors import FleetmeterError
from metering.ledger.mqtt import add_mqtt


class Fenced(FleetmeterError):
    """Another daemon has taken over this client id; this one must stop."""


@dataclass(frozen=True)
class Claim:
    """The daemon's epoch, and the session as its predecessor left it."""

    client_id: str
    epoch: int
    last_packet_id: int | None
    session_started_at: datetime | None
    last_seen_at: datetime | None


class Store:
    """The database, under one client id and epoch."""

    def __init__(self, engine: Engine, claim: Claim) -> None:
        self.engine = engine
        self.claim = claim

    def commit(self, totals: Totals, last_packet_id: int | None, at: datetime) -> None:
        """Write counts and the id of the last one in one transaction. Raises Fenced.

        `at` is unique to this flush: `was_committed` knows it again by that.
        """
        with transaction(self.engine) as connection:
            self._update(connection, "last_packet_id = :last, last_seen_at = :at", last=last_packet_id, at=at)
            _write(connection, totals, at)

    def was_committed(self, at: datetime) -> bool:
        """Return whether the flush at `at` was committed, when its answer was lost. Raises Fenced.

        FOR UPDATE waits for a transaction that the lost connection left running.
        """
        query = "SELECT last_seen_at, epoch FROM mqtt_sessions WHERE client_id = :client FOR UPDATE"
        with transaction(self.engine) as connection:
            row = connection.execute(text(query), {"client": self.claim.client_id}).one_or_none()
        if row is not None and row.last_seen_at == at:
            return True
        if row is None or row.epoch != self.claim.epoch:
            raise self._fenced()
        return False

    def commit_fenced(self, totals: Totals, at: datetime) -> None:
        """Write the counts at QoS 0 of a fenced daemon: no broker sends them again to anybody."""
        with transaction(self.engine) as connection:
            _write(connection, totals.qos0(), at)

    def require_own(self) -> None:
        """Check that this daemon still owns the session. Raises Fenced."""
        query = "SELECT epoch FROM mqtt_sessions WHERE client_id = :client"
        with transaction(self.engine) as connection:
            if connection.scalar(text(query), {"client": self.claim.client_id}) != self.claim.epoch:
                raise self._fenced()

    def record_connection(self, session_present: bool, blind_since: datetime | None, at: datetime) -> bool:
        """Record the broker's answer; returns whether a gap was opened. Raises Fenced.

        Without `session_present` the broker starts a new session at `at`, and everything between
        `blind_since` and then is lost.
        """
        started = "coalesce(m.session_started_at, :at)" if session_present else ":at"
        reset = "" if session_present else "last_packet_id = NULL,"
        with transaction(self.engine) as connection:
            before = self._update(
                connection,
                f"{reset} last_seen_at = :at, session_started_at = {started}",
                at=at,
            )
            # `at` is already there when a first attempt was committed and its answer lost.
            lost = not session_present and before.session_started_at not in (None, at)
            if lost:
                since = blind_since or before.last_seen_at or before.session_started_at
                coverage.open_gap(
                    connection, "mqtt", since, at, "the broker lost the session", kind="session_lost"
                )
            return lost

    def heartbeat(self, connected: bool, at: datetime, figures: dict[str, Any]) -> None:
        """Record that this daemon is alive, and whether it is connected at `at`. Raises Fenced."""
        assignment = ", last_seen_at = :at" if connected else ""
        with transaction(self.engine) as connection:
            self._update(connection, f"connected = :connected{assignment}", connected=connected, at=at)
            connection.execute(HEARTBEAT, {"name": self.worker, **_process(), "figures": figures})

    def release(self) -> None:
        """Leave after a clean stop: everything received is counted."""
        with transaction(self.engine) as connection:
            self._update(connection, "connected = false")
            connection.execute(text("DELETE FROM workers WHERE name = :name"), {"name": self.worker})

    @property
    def worker(self) -> str:
        return f"counter {self.claim.client_id}"

    def _update(self, connection: Connection, assignments: str, **parameters: Any) -> Any:
        statement = f"""
            UPDATE mqtt_sessions m SET {assignments}
            FROM (SELECT client_id, session_started_at, last_seen_at FROM mqtt_sessions
                WHERE client_id = :client FOR UPDATE) before
            WHERE m.client_id = before.client_id AND m.epoch = :epoch
            RETURNING before.session_started_at, before.last_seen_at"""
        own = {"client": self.claim.client_id, "epoch": self.claim.epoch}
        row = connection.execute(text(statement), parameters | own).one_or_none()
        if row is None:
            raise self._fenced()
        return row

    def _fenced(self) -> Fenced:
        return Fenced(
            f"another counter has taken over client id {self.claim.client_id}; this one stops. "
            "To run several, set MQTT_SHARED_GROUP and give each its own MQTT_CLIENT_ID"
        )


HEARTBEAT = text("""
    INSERT INTO workers (name, role, host, pid, figures) VALUES (:name, 'counter', :host, :pid, :figures)
    ON CONFLICT (name) DO UPDATE SET last_seen_at = now(), figures = excluded.figures,
        started_at = CASE WHEN workers.host = excluded.host AND workers.pid = excluded.pid
            THEN workers.started_at ELSE now() END,
        host = excluded.host, pid = excluded.pid""").bindparams(bindparam("figures", type_=JSONB))


def claim(engine: Engine, client_id: str, broker: str) -> Claim:
    """Take over the client id, so that its previous owner can commit nothing more.

    Waits for a running commit of the previous owner, so `last_packet_id` is final.
    """
    statement = text("""
        INSERT INTO mqtt_sessions AS m (client_id, epoch, broker) VALUES (:client, 1, :broker)
        ON CONFLICT (client_id) DO UPDATE SET
            epoch = m.epoch + 1, broker = excluded.broker, connected = false
        RETURNING client_id, epoch, last_packet_id, session_started_at, last_seen_at""")
    with transaction(engine) as connection:
        row = connection.execute(statement, {"client": client_id, "broker": broker}).one()
    return Claim(*row)


def _write(connection: Connection, totals: Totals, at: datetime) -> None:
    add_mqtt(connection, totals.usage(), at, totals.malformed_topics())


def _process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid()}
