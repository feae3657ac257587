"""Identify the caller of a request to the HTTP API by its token."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from metering.config.oidc import ROLES, Role
from metering.db.scope import Scope
from metering.errors import ScopeNotEnforced

_FORM = re.compile(r"fleetmeter_([0-9]{1,18})_([A-Za-z0-9_-]{20,100})")

CALLER = text("SELECT * FROM fleetmeter_caller(:id, :at)")


class Credentials(NamedTuple):
    """The two parts of a token as a client sent it, which prove nothing yet."""

    id: int
    secret: str


@dataclass(frozen=True)
class Caller:
    """Whose request it is: a token that counts. `organization_id` None: it sees every organization."""

    id: int
    name: str
    role: Role
    organization_id: int | None
    last_used_at: datetime | None

    @property
    def scope(self) -> Scope:
        """Return the organizations whose rows it sees; None for all."""
        return None if self.organization_id is None else (self.organization_id,)

    def has(self, role: Role) -> bool:
        """Return whether its role is `role` or one above it."""
        return ROLES.index(self.role) >= ROLES.index(role)


def parse(token: str) -> Credentials | None:
    """Return the parts of a token, None for a text of another form."""
    match = _FORM.fullmatch(token)
    return None if match is None else Credentials(int(match[1]), match[2])


def caller(connection: Connection, credentials: Credentials, at: datetime) -> Caller | None:
    """Return the caller of a request, and limit the transaction to the rows that they may see.

    None for a token that is unknown, expired or revoked at `at`: the transaction then sees no row. Raises
    ScopeNotEnforced if the database's role is exempt from row-level security.
    """
    row = connection.execute(CALLER, {"id": credentials.id, "at": at}).mappings().first()
    return accepted(row, credentials)


def accepted(row: Any, credentials: Credentials) -> Caller | None:
    """Return the caller in a row of `fleetmeter_caller`, None unless the secret is the token's.

    Raises ScopeNotEnforced.
    """
    # Also without a row the work is the same: how long an answer takes tells nothing about ids.
    expected = "" if row is None else row["hash"]
    if not compare_digest(hash_secret(credentials.secret), expected) or row is None:
        return None
    if not row["enforced"]:
        raise ScopeNotEnforced(
            "the database role of this server is a superuser or has BYPASSRLS, so that PostgreSQL does not"
            " keep organizations apart; let DATABASE_URL name an ordinary role (docs/api.md)"
        )
    return Caller(row["id"], row["name"], row["role"], row["organization_id"], row["last_used_at"])


def hash_secret(secret: str) -> str:
    """Return the SHA-256 of a secret, as 64 hex digits."""
    return hashlib.sha256(secret.encode()).hexdigest()
