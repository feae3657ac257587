"""Transactions and advisory locks. Functions below the edge take a Connection and never commit."""

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from metering.db.engine import is_away, unavailable
from metering.db.session import SETTINGS
from metering.errors import DatabaseUnavailable, LockTimeout

CHUNK = 1_000  # projects a transaction: enough to be set-based, few enough to lock briefly
LOCK_POLL = 0.1  # seconds between two tries to take a session's lock
LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's code for a lock_timeout
LOCK_IDLE = "SET idle_session_timeout = '60s'"  # the same for a lock that outlives its transactions


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Open a READ COMMITTED transaction. Raises DatabaseUnavailable when PostgreSQL is away."""
    with translated(engine), engine.begin() as connection:
        yield connection


@contextmanager
def connected(engine: Engine) -> Iterator[Connection]:
    """Open a connection whose transactions are the caller's. Raises DatabaseUnavailable."""
    with translated(engine), engine.connect() as connection:
        yield connection


@contextmanager
def read_snapshot(engine: Engine) -> Iterator[Connection]:
    """Open a read-only REPEATABLE READ transaction: everything it reads is of one instant."""
    frozen = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with translated(engine), frozen.begin() as connection:
        # It holds up nobody, and the reader of its rows may be slow.
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield connection


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Translate errors of the database inside into DatabaseUnavailable or LockTimeout."""
    try:
        yield
    except DBAPIError as error:
        if is_away(error):
            raise DatabaseUnavailable(unavailable(engine, error)) from error
        if getattr(error.orig, "pgcode", None) == LOCK_NOT_AVAILABLE:
            raise LockTimeout(
                f"a lock in the database {engine.url.database} was not free for {SETTINGS['lock_timeout']}: "
                "another process holds it; see fleetmeter status, then try again"
            ) from error
        raise
    except PoolTimeout as error:
        raise DatabaseUnavailable(
            f"no connection to the database {engine.url.database} was free in this process; raise "
            "FLEETMETER_DB_POOL_SIZE"
        ) from error


def in_batches(engine: Engine, size: int, delete: Callable[[Connection], int]) -> int:
    """Call `delete`, which deletes at most `size` rows, in transactions of their own until none are left.

    Returns the number of rows deleted.
    """
    total = 0
    while True:
        with transaction(engine) as connection:
            deleted = delete(connection)
        total += deleted
        if deleted < size:
            return total


def advisory_lock(connection: Connection, name: str) -> None:
    """Hold the advisory lock `name` until the transaction ends; waits for its holder."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key(name)})


@contextmanager
def session_lock(engine: Engine, name: str, patience: float = 600.0) -> Iterator[Connection]:
    """Hold the advisory lock `name` over several transactions of the caller, on the yielded connection.

    Asks again and again instead of waiting in PostgreSQL, so that a signal can end the wait. Raises
    LockTimeout after `patience` seconds.
    """
    with connected(engine) as connection:
        with connection.begin():
            connection.execute(text(LOCK_IDLE))
        _wait_for_lock(connection, name, patience)
        try:
            yield connection
        finally:
            # Closing for good frees the lock even when the connection is in no state to be asked.
            connection.invalidate()


def _wait_for_lock(connection: Connection, name: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        with connection.begin():
            if connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": lock_key(name)}):
                return
        if time.monotonic() > deadline:
            raise LockTimeout(
                f"the lock {name!r} was not free for {patience:g} s: another process does the same work; "
                "see fleetmeter status, then try again"
            )
        time.sleep(LOCK_POLL)


def lock_key(name: str) -> int:
    """Return the 64-bit key of an advisory lock; its prefix avoids the platform's own locks."""
    return (0x464D << 32) | zlib.crc32(name.encode())


def chunks(ids: Sequence[int], size: int = CHUNK) -> Iterator[list[int]]:
    """Yield `ids` in order, `size` at a time."""
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])
