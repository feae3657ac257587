"""Create the engine, and tell what a database error means."""

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError

from metering.config.settings import Settings
from metering.errors import FleetmeterError

# Compiling a statement takes longer than running most of ours does.
# What a frozen or vanished process held would keep everybody waiting: PostgreSQL ends its
# transaction, and finds out within half a minute that a machine is gone (its own default: two hours).
SESSION = (
    *("timezone=UTC", "jit=off", "idle_in_transaction_session_timeout=20s"),
    *("tcp_keepalives_idle=10", "tcp_keepalives_interval=5", "tcp_keepalives_count=3"),
)


def open_engine(settings: Settings, application: str = "fleetmeter", ping: bool = True) -> Engine:
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


def is_away(error: DBAPIError) -> bool:
    """True when the server or the connection is gone, as opposed to a statement being refused."""
    code = getattr(error.orig, "pgcode", None)
    return error.connection_invalidated or code is None or code[:2] in ("08", "57")


def is_refused(error: DBAPIError) -> bool:
    """True when a statement asks for what is not there or not granted: a table, a column, a right to it."""
    return (getattr(error.orig, "pgcode", None) or "")[:2] == "42"


def error_line(error: BaseException) -> str:
    """Return the first line of an error's message; of a database error without the statement."""
    message = str(getattr(error, "orig", None) or error).strip()
    return message.splitlines()[0] if message else ""


def describe_error(error: BaseException) -> str:
    """Return the first line of an error's message; unexpected exceptions are prefixed with their type."""
    expected = isinstance(error, (FleetmeterError, DBAPIError))
    return error_line(error) if expected else f"{type(error).__name__}: {error_line(error)}"


def is_passing(error: DBAPIError) -> bool:
    """True when the same may succeed later: away, a conflict, or out of a resource such as disk."""
    code = getattr(error.orig, "pgcode", None) or ""
    return is_away(error) or code[:2] in ("40", "53", "55")


def _unreachable(engine: Engine, error: DBAPIError) -> str:
    url = engine.url
    reason = error_line(error) or "no reason given"
    return (
        f"PostgreSQL at {url.host or 'localhost'}:{url.port or 5432}/{url.database} "
        f"cannot be reached ({reason}); check that it runs and that DATABASE_URL is right"
    )
