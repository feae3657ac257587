"""The transactions of pages: short, and limited to the rows that the person may see."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import streamlit as st
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from console.data import database, session
from metering.config.oidc import Role
from metering.config.settings import current_settings
from metering.db import clock
from metering.db import scope as row_security
from metering.db.scope import Scope
from metering.db.transactions import read_snapshot
from metering.errors import AccessRefused, SchemaError

STATEMENT_TIMEOUT = "15s"
# A table, column or function that is not there.
UNDEFINED = ("42P01", "42703", "42883")


@dataclass(frozen=True)
class ReadTransaction:
    """A read-only transaction and the instant that it shows, by the host's clock, in UTC."""

    connection: Connection
    at: datetime


@dataclass(frozen=True)
class WriteTransaction:
    """A transaction for an action, and the person who does it."""

    connection: Connection
    actor: str

    def agreed(self, at: datetime) -> datetime:
        """Return `at`, now by the host's clock, or the database's clock where the two differ."""
        return clock.agreed_instant(self.connection, at, current_settings().clock_tolerance)

    def require_clock(self) -> None:
        """Raise ClockWrong if the host's clock and the database's differ too much to choose a period."""
        clock.require(self.connection, session.now(), current_settings().clock_tolerance)


@contextmanager
def read_transaction() -> Iterator[ReadTransaction]:
    """Open a transaction for one page and its person; everything read is of the same instant.

    Raises NotSignedIn, Refused, DatabaseUnavailable, and SchemaError if the database is not migrated.
    """
    with read_transaction_as(session.current_scope()) as page:
        yield page


@contextmanager
def read_transaction_as(scope: Scope) -> Iterator[ReadTransaction]:
    """Open a transaction over the rows of `scope`, for results that are cached and refreshed later.

    Raises DatabaseUnavailable, SchemaError.
    """
    try:
        with read_snapshot(database.engine()) as connection:
            row_security.limit(connection, scope)
            # Compiling a statement takes longer than running any that a page needs.
            connection.execute(
                text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'; SET LOCAL jit = off")
            )
            yield ReadTransaction(connection, session.now())
    except ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) in UNDEFINED:
            raise SchemaError(
                "the database is not at the schema of this version; run: fleetmeter migrate"
            ) from error
        raise


@contextmanager
def probe_transaction() -> Iterator[ReadTransaction]:
    """Open a transaction for a machine, without a person. Raises DatabaseUnavailable, SchemaError."""
    with read_transaction_as(None) as page:
        yield page


@contextmanager
def write_transaction(role: Role) -> Iterator[WriteTransaction]:
    """Open one transaction for an action that needs `role`.

    Raises NotSignedIn, Refused without that role, DatabaseUnavailable.
    """
    person = session.current_person()
    if not person.has(role):
        contact = current_settings().access_contact
        raise AccessRefused(
            f"{person.actor} is {person.role} and this takes {role}; nothing was done. Ask {contact}"
        )
    with database.unlimited() as connection:
        yield WriteTransaction(connection, person.actor)
    st.cache_data.clear()  # the person sees the result at once
