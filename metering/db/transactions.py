"""Transactions and advisory locks. Functions below the edge take a Connection and never commit."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from metering.db.engine import _unreachable, is_away
from metering.errors import DatabaseUnavailable

CHUNK = 1_000  # projects a transaction: enough to be set-based, few enough to lock briefly
LOCK_IDLE = "SET idle_session_timeout = '60s'"  # the same for a lock that outlives its transactions


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One READ COMMITTED transaction. Raises DatabaseUnavailable when PostgreSQL is away."""
    with _translated(engine), engine.begin() as connection:
        yield connection


@contextmanager
def connected(engine: Engine) -> Iterator[Connection]:
    """A connection whose transactions are the caller's. Raises DatabaseUnavailable."""
    with _translated(engine), engine.connect() as connection:
        yield connection


@contextmanager
def read_snapshot(engine: Engine) -> Iterator[Connection]:
    """One read-only REPEATABLE READ transaction: everything read in it is of the same instant."""
    frozen = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with _translated(engine), frozen.begin() as connection:
        # It holds up nobody, and whoever reads its rows may be slow.
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield connection


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if isinstance(error, OperationalError) and is_away(error):
            raise DatabaseUnavailable(_unreachable(engine, error)) from error
        raise


def advisory_lock(connection: Connection, name: str) -> None:
    """Hold the advisory lock `name` until the transaction ends; waits for whoever holds it."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key(name)})


@contextmanager
def session_lock(engine: Engine, name: str) -> Iterator[Connection]:
    """A connection that holds the advisory lock `name` over several transactions of the caller's."""
    with connected(engine) as connection:
        with connection.begin():
            connection.execute(text(LOCK_IDLE))
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": lock_key(name)})
        try:
            yield connection
        finally:
            # Closing for good frees the lock even when the connection is in no state to be asked.
            connection.invalidate()


def lock_key(name: str) -> int:
    """The 64-bit key of an advisory lock: a fixed prefix keeps clear of the platform's own locks."""
    return (0x464D << 32) | zlib.crc32(name.encode())


def chunks(ids: Sequence[int], size: int = CHUNK) -> Iterator[list[int]]:
    """`ids` in order, `size` at a time."""
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])
