"""The statements of a daemon under its claim: counts and the last packet id, heartbeat, gaps."""

from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, text

from collectors.mqtt.claims import Claim, Clock, Fenced, record_connection, update_own, worker_name
from collectors.mqtt.totals import Totals
from metering.db import workers
from metering.db.clock import AGREED
from metering.db.transactions import transaction
from metering.ledger import sessions
from metering.ledger.mqtt import add_mqtt, add_mqtt_isolated

LOG = structlog.get_logger("counter")
FLUSHES_OF_EPOCH = 2**32  # flush numbers that an epoch has for itself


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
        """Write counts and the last packet id in one transaction; return their instant.

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
        """Write the counts at QoS 0 of a fenced daemon: no broker sends those messages again."""
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
        """Record the broker's answer; return whether a gap was opened.

        Without `session_present` the broker starts a new session, and everything since the connection was
        lost, `blind` ago, is lost too.
        """
        with transaction(self.engine) as connection:
            return record_connection(connection, self.claim, session_present, blind, clock)

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
        row = update_own(connection, self.claim, assignments, parameters)
        if row is None:
            raise self._fenced()
        return row

    def _fenced(self) -> Fenced:
        return Fenced(
            f"another counter has taken over client id {self.claim.client_id}; this one stands by. "
            "To run several at once, set MQTT_SHARED_GROUP and give each its own MQTT_CLIENT_ID"
        )


def _instant(row: Any) -> datetime:
    instant: datetime = row.seen_at
    return instant


def _write(connection: Connection, totals: Totals, at: datetime) -> None:
    add_mqtt(connection, totals.usage(), at, totals.malformed_topics())


def _write_isolated(connection: Connection, totals: Totals, at: datetime) -> None:
    refused = add_mqtt_isolated(connection, totals.usage(), at, totals.malformed_topics())
    LOG.error("counts.refused", projects=refused[:20])
