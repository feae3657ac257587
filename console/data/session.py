"""The person at a page: identity, role and scope, checked again by every transaction."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TypeVar

import streamlit as st

from console.access import identity, revocation
from console.access.identity import Person
from console.data import database
from metering.catalogue import platform
from metering.config.oidc import Role
from metering.config.settings import current_settings
from metering.db.scope import Scope
from metering.errors import AccessRefused, FleetmeterError, NotSignedIn

T = TypeVar("T")
_CLAIMS: ContextVar[Mapping[str, Any] | None] = ContextVar("claims", default=None)


def now() -> datetime:
    """Return the host's clock in UTC; a page is an entry point, which reads the clock and passes it on."""
    return datetime.now(UTC)


def current_person() -> Person:
    """Return the person at this page.

    Raises NotSignedIn, and Refused if the person has no role.
    """
    settings = current_settings()
    if not settings.sign_in:
        return identity.LOCAL
    claims = _claims()
    person = identity.identify(claims, settings, now())
    if revocation.mark_of(claims) in revocation.ended(database.key()):
        raise NotSignedIn("You have signed out; sign in again")
    return person


def is_staff() -> bool:
    """Return whether this person belongs to the platform; without the database, which may be away."""
    settings = current_settings()
    if not settings.sign_in:
        return True
    try:
        return identity.identify(_claims(), settings, now()).organizations is None
    except FleetmeterError:
        return False


def _claims() -> Mapping[str, Any]:
    return _CLAIMS.get() or st.user.to_dict()


def sign_out() -> None:
    """End the sign-in of this person in every window and console, also for a copy of the cookie."""
    revocation.end(st.user.to_dict(), now())


def as_current_person(make: Callable[[], T]) -> Callable[[], T]:
    """Bind `make` to the person of this page, for a thread in which Streamlit has no session.

    Streamlit makes a download there when it is clicked; roles and expiry are checked at that moment.
    """
    claims = st.user.to_dict()

    def bound() -> T:
        token = _CLAIMS.set(claims)
        try:
            return make()
        finally:
            _CLAIMS.reset(token)

    return bound


def has_role(role: Role) -> bool:
    """Return whether to offer an action that needs `role`; the action itself checks again."""
    return current_person().has(role)


def current_scope() -> Scope:
    """Return the organizations whose rows this person sees, None for all; part of every cache's key.

    Raises NotSignedIn, and Refused if none of the person's organizations is known.
    """
    person = current_person()
    if person.organizations is None:
        return None
    ids = _organization_ids(person.organizations, database.key())
    if not ids:
        contact = current_settings().access_contact
        raise AccessRefused(f"{person.actor} belongs to no organization that is known here; ask {contact}")
    return ids


# A minute, since every rerun asks and organizations hardly ever change their names.
@st.cache_data(ttl=60, max_entries=1_000, show_spinner=False)
def _organization_ids(words: tuple[str, ...], server: str) -> tuple[int, ...]:
    with database.unlimited() as connection:
        return platform.organization_ids(connection, words)
