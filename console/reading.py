"""How a page reads: one short read-only transaction in which everything is of the same instant."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import streamlit as st
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from metering import database, settings
from metering.errors import SchemaError

PATIENCE = "15s"  # the longest a page's statement may take before it is given up


@dataclass(frozen=True)
class Reading:
    """A transaction and the instant it shows, by the host's clock, in UTC."""

    connection: Connection
    at: datetime


def now() -> datetime:
    """The host's clock, in UTC: a page is an entry point, it reads the clock and passes it on."""
    return datetime.now(UTC)


@st.cache_resource(show_spinner=False, max_entries=4)
def _engine(url: str, _settings: settings.Settings) -> Engine:
    return database.create(_settings, "fleetmeter console")


def engine() -> Engine:
    """The engine of this server, made once. Raises SettingsError."""
    found = settings.load()
    return _engine(found.database.render_as_string(hide_password=False), found)


@contextmanager
def reading() -> Iterator[Reading]:
    """Read for one page. Raises DatabaseUnavailable; SchemaError when it is not migrated."""
    try:
        with database.snapshot(engine()) as connection:
            # Compiling a statement takes longer than any that a page runs.
            connection.execute(text(f"SET LOCAL statement_timeout = '{PATIENCE}'; SET LOCAL jit = off"))
            yield Reading(connection, now())
    except ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) in ("42P01", "42703"):
            raise SchemaError(
                "the database is not at the schema of this version; run: fleetmeter migrate"
            ) from error
        raise


@contextmanager
def writing() -> Iterator[Connection]:
    """One transaction for an operator's action. Raises DatabaseUnavailable."""
    with database.transaction(engine()) as connection:
        yield connection
