"""The console's engine; each of its transactions states whose rows it sees."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
from sqlalchemy import Connection, Engine

from metering.config.settings import Settings, current_settings
from metering.db import scope as row_security
from metering.db.engine import open_engine
from metering.db.transactions import transaction


@st.cache_resource(show_spinner=False, max_entries=4)
def _engine(url: str, _settings: Settings) -> Engine:
    new_engine = open_engine(_settings, "fleetmeter console")
    row_security.require_limit(new_engine)
    return new_engine


def engine() -> Engine:
    """Return this server's engine, which is made once. Raises SettingsError."""
    settings = current_settings()
    return _engine(settings.database.render_as_string(hide_password=False), settings)


def key() -> str:
    """Return the database's address without its password, for keys of caches."""
    return str(engine().url)


@contextmanager
def unlimited() -> Iterator[Connection]:
    """Open a transaction over the rows of every organization. Raises DatabaseUnavailable."""
    with transaction(engine()) as connection:
        row_security.limit(connection, None)
        yield connection
