"""How a page reads and writes: as the person who is signed in, whom each transaction asks for anew.

A read is one short read-only transaction in which everything is of the same instant, over the rows
that the person may see; a write needs a role.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

import streamlit as st
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from console.access import identity, revocation
from console.access.identity import Person
from metering.catalogue import platform
from metering.config.oidc import Role
from metering.config.settings import Settings, current_settings
from metering.db import scope as row_security
from metering.db.engine import open_engine
from metering.db.scope import Scope
from metering.db.transactions import read_snapshot, transaction
from metering.errors import NotSignedIn, Refused, SchemaError

T = TypeVar("T")
P = ParamSpec("P")
KEPT = 15  # seconds
_KEPT: ContextVar[Mapping[str, Any] | None] = ContextVar("claims", default=None)
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
def _engine(url: str, _settings: Settings) -> Engine:
    made = open_engine(_settings, "fleetmeter console")
    row_security.require_limit(made)
    return made


def engine() -> Engine:
    """The engine of this server, made once. Raises SettingsError."""
    found = current_settings()
    return _engine(found.database.render_as_string(hide_password=False), found)


def person() -> Person:
    """Who is looking at this page. Raises NotSignedIn, and Refused when they have no role."""
    found = current_settings()
    if not found.sign_in:
        return identity.LOCAL
    kept = _KEPT.get()
    claims = st.user.to_dict() if kept is None else kept
    if revocation.ended(claims):
        raise NotSignedIn("You have signed out; sign in again")
    return identity.identify(claims, found, now())


def leave() -> None:
    """Who looks has signed out: in every window, and for whoever kept a copy of the cookie."""
    revocation.end(st.user.to_dict(), now())


def later(make: Callable[[], T]) -> Callable[[], T]:
    """`make` as the person who looks now, for a thread in which Streamlit knows nobody.

    Streamlit makes a download there when it is clicked; roles and expiry are those of that moment.
    """
    claims = st.user.to_dict()

    def made() -> T:
        token = _KEPT.set(claims)
        try:
            return make()
        finally:
            _KEPT.reset(token)

    return made


def may(role: Role) -> bool:
    """Whether to offer what needs `role`; the action itself asks again."""
    return person().may(role)


def seen() -> Scope:
    """The organizations whose rows this person sees, None for all: part of every cache's key."""
    return _seen(person())


def _seen(who: Person) -> Scope:
    if who.organizations is None:
        return None
    ids = _organizations(who.organizations, str(engine().url))
    if not ids:
        ask = current_settings().access_contact
        raise Refused(f"{who.actor} belongs to no organization that is known here; ask {ask}")
    return ids


# A minute, since every rerun asks and organizations hardly ever change their names.
@st.cache_data(ttl=60, max_entries=1_000, show_spinner=False)
def _organizations(named: tuple[str, ...], server: str) -> tuple[int, ...]:
    with _transaction() as connection:
        return platform.organization_ids(connection, named)


@contextmanager
def _transaction() -> Iterator[Connection]:
    with transaction(engine()) as connection:
        row_security.limit(connection, None)
        yield connection


@contextmanager
def reading() -> Iterator[Reading]:
    """Read for one page, as the person who looks at it.

    Raises NotSignedIn, Refused, DatabaseUnavailable; SchemaError when it is not migrated.
    """
    with reading_as(seen()) as page:
        yield page


@contextmanager
def reading_as(who: Scope) -> Iterator[Reading]:
    """Read as those who see `who`: for what is `kept`, which is made anew while nobody looks.

    Raises DatabaseUnavailable, SchemaError.
    """
    with _snapshot(who) as page:
        yield page


def kept(read: Callable[P, T]) -> Callable[P, T]:
    """`read`, whose first argument is a scope, kept for all who look at the same.

    What is older than 15 s is shown once more while it is made anew, up to twice that; a page's stamp says
    of when it is. An action and Refresh forget everything that is kept.
    """
    keeping = st.cache_data(ttl=KEPT, max_entries=200, show_spinner=False, refresh_mode="background")
    return keeping(read)


@contextmanager
def probing() -> Iterator[Reading]:
    """Read for a machine that nobody sits at. Raises DatabaseUnavailable, SchemaError."""
    with _snapshot(None) as page:
        yield page


@contextmanager
def _snapshot(scope: Scope) -> Iterator[Reading]:
    try:
        with read_snapshot(engine()) as connection:
            row_security.limit(connection, scope)
            # Compiling a statement takes longer than any that a page runs.
            connection.execute(text(f"SET LOCAL statement_timeout = '{PATIENCE}'; SET LOCAL jit = off"))
            yield Reading(connection, now())
    except ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) in ("42P01", "42703", "42883"):
            raise SchemaError(
                "the database is not at the schema of this version; run: fleetmeter migrate"
            ) from error
        raise


@dataclass(frozen=True)
class Writing:
    """A transaction for an action, and who does it."""

    connection: Connection
    actor: str


@contextmanager
def writing(role: Role) -> Iterator[Writing]:
    """One transaction for an action that needs `role`.

    Raises NotSignedIn, Refused without that role, DatabaseUnavailable.
    """
    who = person()
    if not who.may(role):
        ask = current_settings().access_contact
        raise Refused(f"{who.actor} is {who.role} and this takes {role}; nothing was done. Ask {ask}")
    with _transaction() as connection:
        yield Writing(connection, who.actor)
    st.cache_data.clear()  # who did it sees it done
