"""Engine, transactions, advisory locks. Functions below the edge take a Connection, never commit."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from metering.errors import DatabaseUnavailable
from metering.settings import Settings

CHUNK = 1_000  # projects a transaction: enough to be set-based, few enough to lock briefly

# Compiling a statement takes longer than running most of ours does.
# What a frozen or vanished process held would keep everybody waiting: PostgreSQL ends its
# transaction, and finds out within half a minute that a machine is gone (its own default: two hours).
SESSION = (
    *("timezone=UTC", "jit=off", "idle_in_transaction_session_timeout=20s"),
    *("tcp_keepalives_idle=10", "tcp_keepalives_interval=5", "tcp_keepalives_count=3"),
)
LOCK_IDLE = "SET idle_session_timeout = '60s'"  # the same for a lock that outlives its transactions


def create(settings: Settings, application: str = "fleetmeter", ping: bool = True) -> Engine:
    """An engine whose sessions speak UTC; nothing is connected yet.

    `ping`: a connection is tried before each use; who does without must take a lost one and ask again.
    """
    return create_engine(
        settings.database,
        pool_pre_ping=ping,
        pool_size=settings.db_pool_size,
        connect_args={
            "options": " ".join(f"-c {setting}" for setting in SESSION),
            "application_name": application,
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        },
    )


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One READ COMMITTED transaction. Raises DatabaseUnavailable when PostgreSQL is away."""
    with _connected(engine), engine.begin() as connection:
        yield connection


@contextmanager
def connected(engine: Engine) -> Iterator[Connection]:
    """A connection whose transactions are the caller's. Raises DatabaseUnavailable."""
    with _connected(engine), engine.connect() as connection:
        yield connection


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """One read-only REPEATABLE READ transaction: everything read in it is of the same instant."""
    frozen = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with _connected(engine), frozen.begin() as connection:
        # It holds up nobody, and whoever reads its rows may be slow.
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield connection


@contextmanager
def _connected(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if isinstance(error, OperationalError) and is_away(error):
            raise DatabaseUnavailable(_away(engine, error)) from error
        raise


def is_away(error: DBAPIError) -> bool:
    """True when the server or the connection is gone, as opposed to a statement being refused."""
    code = getattr(error.orig, "pgcode", None)
    return error.connection_invalidated or code is None or code[:2] in ("08", "57")


def is_refused(error: DBAPIError) -> bool:
    """True when a statement asks for what is not there or not granted: a table, a column, a right to it."""
    return (getattr(error.orig, "pgcode", None) or "")[:2] == "42"


def said(error: DBAPIError) -> str:
    """PostgreSQL's own sentence, without the statement."""
    return str(error.orig).strip().splitlines()[0]


def is_passing(error: DBAPIError) -> bool:
    """True when the same may succeed later: away, a conflict, or out of a resource such as disk."""
    code = getattr(error.orig, "pgcode", None) or ""
    return is_away(error) or code[:2] in ("40", "53", "55")


def _away(engine: Engine, error: DBAPIError) -> str:
    url = engine.url
    reason = str(error.orig).strip().splitlines()[0] if error.orig else "no reason given"
    return (
        f"PostgreSQL at {url.host or 'localhost'}:{url.port or 5432}/{url.database} "
        f"cannot be reached ({reason}); check that it runs and that DATABASE_URL is right"
    )


def lock(connection: Connection, name: str) -> None:
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
