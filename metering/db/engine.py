"""Create the engine, and interpret errors of the database."""

from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from metering.config.settings import Settings
from metering.db import pooling, session
from metering.errors import FleetmeterError
from metering.printable import first_line

# What a server says while it cannot take a write, or any statement at all, and may soon.
PASSING_STATES = {
    "25006": "is read-only: it is a standby, or default_transaction_read_only is on; connect to the primary",
    "53100": "has no disk space left; free some",
    "53300": "has no connection left; raise max_connections or stop what holds them",
    "57P01": "is shutting down or failing over",
    "57P02": "crashed and is restarting",
    "57P03": "is starting up",
}


def open_engine(settings: Settings, application: str = "fleetmeter", ping: bool = True) -> Engine:
    """Create an engine with the sessions of metering.db.session; it connects later.

    The first connection raises DatabaseRefused behind a pooler in transaction mode.
    `ping`: test pooled connections before use. Without it, callers must retry on a dropped connection.
    Raises SettingsError for `options` in the URL that are not understood.
    """
    engine = engine_of(settings.database, application, pool_pre_ping=ping, pool_size=settings.db_pool_size)
    pooling.check_at_first_use(engine)
    return engine


def engine_of(url: URL, application: str = "fleetmeter", **options: Any) -> Engine:
    """Create an engine for `url`; `options` are those of SQLAlchemy's create_engine."""
    session_settings = session.session_settings(url)
    engine = create_engine(
        url.difference_update_query(["options"]),
        execution_options={"session_settings": session_settings},
        connect_args={
            "application_name": application,
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        },
        **options,
    )
    event.listen(engine, "connect", lambda connection, _: session.prepare(connection, session_settings))
    return engine


def is_away(error: DBAPIError) -> bool:
    """Return whether the server or the connection is gone; a refused statement is not."""
    code = getattr(error.orig, "pgcode", None)
    lost = isinstance(error, OperationalError) and (code is None or code[:2] == "08")
    return error.connection_invalidated or lost or code in PASSING_STATES


def error_line(error: BaseException) -> str:
    """Return the first line of an error's message; of a database error without the statement."""
    return first_line(str(getattr(error, "orig", None) or error))


def describe_error(error: BaseException) -> str:
    """Return the first line of an error's message; unexpected exceptions are prefixed with their type."""
    expected = isinstance(error, (FleetmeterError, DBAPIError))
    return error_line(error) if expected else f"{type(error).__name__}: {error_line(error)}"


def is_denied(error: DBAPIError) -> bool:
    """Return whether the session's role lacks a privilege for the statement."""
    return getattr(error.orig, "pgcode", None) == "42501"


def denial(error: DBAPIError) -> str:
    """Return the sentence about a privilege that the session's role lacks."""
    return (
        f"the database role may not do this ({error_line(error)}); log in as a role that may, or grant it "
        "the right: deploy/roles/grants.sql"
    )


def is_passing(error: DBAPIError) -> bool:
    """Return whether the statement may succeed later: server away, a conflict, out of a resource."""
    code = getattr(error.orig, "pgcode", None) or ""
    return is_away(error) or code[:2] in ("40", "53", "55")


def unavailable(engine: Engine, error: DBAPIError) -> str:
    """Return the sentence of DatabaseUnavailable: the database, the error, the remedy."""
    url, state = engine.url, PASSING_STATES.get(getattr(error.orig, "pgcode", None) or "")
    place = f"PostgreSQL at {url.host or 'localhost'}:{url.port or 5432}/{url.database}"
    if state:
        return f"{place} {state}"
    reason = error_line(error) or "no reason given"
    return f"{place} cannot be reached ({reason}); check that it runs and that DATABASE_URL is right"
