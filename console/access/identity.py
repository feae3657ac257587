"""Identify a person by the claims of the sign-in and the current settings. Pure.

An address listed in the settings decides first, since an operator wrote it. After it, an organization
narrows the role: a customer's own administrator, whose token may well say `admin`, stays
a viewer of that organization.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from metering.config.oidc import ROLES, Role, same
from metering.config.settings import Settings
from metering.errors import AccessRefused, NotSignedIn

Claims = Mapping[str, Any]


@dataclass(frozen=True)
class Person:
    """A signed-in person: `actor` is their address; `organizations` None means that they see all.

    Organizations are ids or names, as the claim or the settings say them.
    """

    actor: str
    role: Role
    organizations: tuple[str, ...] | None = None

    def has(self, role: Role) -> bool:
        """Return whether the role is `role` or one above it."""
        return ROLES.index(self.role) >= ROLES.index(role)


LOCAL = Person("console", "admin")  # nobody signs in where only this machine reaches the console


def identify(claims: Claims, settings: Settings, at: datetime) -> Person:
    """Return the person whom the claims of an ID token name at `at` (aware, UTC).

    Raises NotSignedIn when there are no claims or they have ended, Refused when they give no role.
    """
    if not claims.get("is_logged_in"):
        raise NotSignedIn("Sign in to see this page")
    _refuse_foreign(claims, settings)
    _refuse_ended(claims, settings, at)
    address = _address(claims, settings)
    listed = _listed(address, settings)
    if listed:
        return Person(address, listed)
    organizations = _organizations(address, claims, settings)
    if organizations:
        return Person(address, "viewer", organizations)
    role = _claimed(claims, settings)
    if role is None:
        raise AccessRefused(f"{address} has no role in this console; ask {settings.access_contact} for one")
    return Person(address, role)


def _refuse_foreign(claims: Claims, settings: Settings) -> None:
    audience = claims.get("aud")
    if settings.oidc_client_id not in (audience if isinstance(audience, list) else [audience]):
        raise NotSignedIn("This sign-in was made for another application; sign in again")


def _refuse_ended(claims: Claims, settings: Settings, at: datetime) -> None:
    # Streamlit keeps the claims for 30 days, whatever the token said.
    hours = settings.sign_in_hours
    ends = claims.get("exp") if hours is None else claims.get("iat")
    if (
        not isinstance(ends, int | float)
        or at.timestamp() >= ends + timedelta(hours=hours or 0).total_seconds()
    ):
        raise NotSignedIn("Your sign-in has ended; sign in again")


def _address(claims: Claims, settings: Settings) -> str:
    address = claims.get("email")
    if not isinstance(address, str) or "@" not in address:
        raise AccessRefused(f"Your sign-in names no e-mail address; ask {settings.access_contact}")
    verified = claims.get("email_verified", settings.oidc_trust_email)
    if verified not in (True, "true"):
        raise AccessRefused(f"Nobody has verified that {address} is yours; ask {settings.access_contact}")
    return same(address)


def _listed(address: str, settings: Settings) -> Role | None:
    lists: tuple[tuple[Role, tuple[str, ...]], ...] = (
        ("admin", settings.admins),
        ("operator", settings.operators),
        ("viewer", settings.viewers),
    )
    return next((role for role, addresses in lists if address in addresses), None)


def _organizations(address: str, claims: Claims, settings: Settings) -> tuple[str, ...]:
    if address in settings.organization_viewers:
        return (settings.organization_viewers[address],)
    return _values(claims, settings.organization_claim)


def _claimed(claims: Claims, settings: Settings) -> Role | None:
    roles = {
        settings.role_values[value]
        for value in _values(claims, settings.role_claim)
        if value in settings.role_values
    }
    return max(roles, key=ROLES.index, default=None)


def _values(claims: Claims, name: str | None) -> tuple[str, ...]:
    """Return the words of a claim; a name with dots leads into claims, like realm_access.roles."""
    value: Any = claims.get(name) if name else None
    if value is None and name:
        value = claims
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, str | int):
        value = [value]
    # Some providers write an object whose keys are the names.
    return tuple(str(word) for word in value if str(word).strip()) if isinstance(value, list | dict) else ()
