"""Who somebody is, from the claims of their sign-in and the settings as they are now. Pure.

An address listed in the settings decides first, since an operator wrote it. After it, belonging to an
organization narrows: a customer's own administrator, whose token may well say `admin`, stays theirs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from metering.config.oidc import ROLES, Role, same
from metering.config.settings import Settings
from metering.errors import NotSignedIn, Refused

Claims = Mapping[str, Any]


@dataclass(frozen=True)
class Person:
    """Somebody signed in: `actor` is their address; `organizations` None means that they see all.

    Organizations are ids or names, as the claim or the settings say them.
    """

    actor: str
    role: Role
    organizations: tuple[str, ...] | None = None

    def may(self, role: Role) -> bool:
        """Whether their role is `role` or one above it."""
        return ROLES.index(self.role) >= ROLES.index(role)


LOCAL = Person("console", "admin")  # nobody signs in where only this machine reaches the console


def identify(claims: Claims, found: Settings, at: datetime) -> Person:
    """Who the claims of an ID token are at `at` (aware, UTC).

    Raises NotSignedIn when there are none or they have ended, Refused when they earn no role.
    """
    if not claims.get("is_logged_in"):
        raise NotSignedIn("Sign in to see this page")
    _refuse_foreign(claims, found)
    _refuse_ended(claims, found, at)
    address = _address(claims, found)
    listed = _listed(address, found)
    if listed:
        return Person(address, listed)
    organizations = _organizations(address, claims, found)
    if organizations:
        return Person(address, "viewer", organizations)
    role = _claimed(claims, found)
    if role is None:
        raise Refused(f"{address} has no role in this console; ask {found.access_contact} for one")
    return Person(address, role)


def _refuse_foreign(claims: Claims, found: Settings) -> None:
    audience = claims.get("aud")
    if found.oidc_client_id not in (audience if isinstance(audience, list) else [audience]):
        raise NotSignedIn("This sign-in was made for another application; sign in again")


def _refuse_ended(claims: Claims, found: Settings, at: datetime) -> None:
    # Streamlit keeps the claims for 30 days, whatever the token said.
    hours = found.sign_in_hours
    ends = claims.get("exp") if hours is None else claims.get("iat")
    if (
        not isinstance(ends, int | float)
        or at.timestamp() >= ends + timedelta(hours=hours or 0).total_seconds()
    ):
        raise NotSignedIn("Your sign-in has ended; sign in again")


def _address(claims: Claims, found: Settings) -> str:
    address = claims.get("email")
    if not isinstance(address, str) or "@" not in address:
        raise Refused(f"Your sign-in names no e-mail address; ask {found.access_contact}")
    verified = claims.get("email_verified", found.oidc_trust_email)
    if verified not in (True, "true"):
        raise Refused(f"Nobody has verified that {address} is yours; ask {found.access_contact}")
    return same(address)


def _listed(address: str, found: Settings) -> Role | None:
    lists: tuple[tuple[Role, tuple[str, ...]], ...] = (
        ("admin", found.admins),
        ("operator", found.operators),
        ("viewer", found.viewers),
    )
    return next((role for role, addresses in lists if address in addresses), None)


def _organizations(address: str, claims: Claims, found: Settings) -> tuple[str, ...]:
    if address in found.organization_viewers:
        return (found.organization_viewers[address],)
    return _values(claims, found.organization_claim)


def _claimed(claims: Claims, found: Settings) -> Role | None:
    roles = {
        found.role_values[value] for value in _values(claims, found.role_claim) if value in found.role_values
    }
    return max(roles, key=ROLES.index, default=None)


def _values(claims: Claims, name: str | None) -> tuple[str, ...]:
    """The claim's words. A name with dots may lead into claims, like realm_access.roles."""
    value: Any = claims.get(name) if name else None
    if value is None and name:
        value = claims
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, str | int):
        value = [value]
    # Some providers write an object whose keys are the names.
    return tuple(str(word) for word in value if str(word).strip()) if isinstance(value, list | dict) else ()
