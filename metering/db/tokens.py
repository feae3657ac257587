"""Tokens of the HTTP API: create, list, revoke, and identify the caller of a request.

A token is `fleetmeter_<id>_<secret>`. The database holds the SHA-256 of the secret, which is random and so
long that no salt is needed. Creating and revoking are in the audit log.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.config.oidc import ROLES, Role
from metering.db import audit_log
from metering.db.callers import hash_secret
from metering.db.transactions import advisory_lock
from metering.errors import TokenRefused, UnknownToken
from metering.printable import one_line

LONGEST_NAME = 100
MOST_DAYS = 3_650
USED_AGAIN = timedelta(minutes=1)  # how old `last_used_at` may become before it is written again

_INSERT = text("""
    INSERT INTO tokens (name, hash, role, organization_id, created_at, created_by, expires_at)
    VALUES (:name, :hash, :role, :organization_id, :at, :created_by, :expires_at) RETURNING id""")
_LIST = text("""
    SELECT id, name, role, organization_id, created_at, created_by, expires_at, last_used_at, revoked_at
    FROM tokens ORDER BY id""")
_REVOKE = text("""
    UPDATE tokens SET revoked_at = :at, revoked_by = :actor WHERE id = :id AND revoked_at IS NULL
    RETURNING name, role, organization_id""")
_USED = text("""
    UPDATE tokens SET last_used_at = :at
    WHERE id = :id
        AND coalesce(last_used_at, '-infinity') < CAST(:at AS timestamptz) - interval '1 minute'""")
_ACTIVE_OF_NAME = text("""
    SELECT id FROM tokens
    WHERE name = :name AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :at) LIMIT 1""")


@dataclass(frozen=True)
class Token:
    """A token as it is listed; instants in UTC, None where there is none."""

    id: int
    name: str
    role: Role
    organization_id: int | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def state(self, at: datetime) -> str:
        """Return active, expired or revoked, as of `at`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= at else "active"


def create(
    connection: Connection,
    name: str,
    role: str,
    organization_id: int | None,
    days: int | None,
    created_by: str,
    at: datetime,
) -> str:
    """Create a token at `at` that lives `days` (None: until it is revoked); return it, for the only time.

    Raises TokenRefused for a name, role or number of days that cannot be, or a name that
    an active token has; UnknownOrganization.
    """
    _refuse(connection, name, role, organization_id, days)
    _refuse_duplicate_name(connection, name, at)
    secret = secrets.token_urlsafe(32)
    expires_at = None if days is None else at + timedelta(days=days)
    described = {"name": name, "role": role, "organization_id": organization_id, "expires_at": expires_at}
    parameters = described | {"hash": hash_secret(secret), "at": at, "created_by": created_by}
    token_id = connection.scalar(_INSERT, parameters)
    described["expires_at"] = None if expires_at is None else expires_at.isoformat()
    audit_log.record(connection, created_by, "create token", f"token {token_id}", None, described, at=at)
    return f"fleetmeter_{token_id}_{secret}"


def revoke(connection: Connection, token_id: int, actor: str, at: datetime) -> None:
    """Revoke a token at `at`; from now on its requests are refused. Raises UnknownToken.

    A token that is revoked already stays as it is.
    """
    row = connection.execute(_REVOKE, {"id": _bigint(token_id), "actor": actor, "at": at}).mappings().first()
    if row is not None:
        audit_log.record(connection, actor, "revoke token", f"token {token_id}", dict(row), None, at=at)
    elif token_id not in [token.id for token in listed(connection)]:
        raise UnknownToken(f"there is no token {token_id}; see: fleetmeter token list")


def listed(connection: Connection) -> list[Token]:
    """Return every token there ever was, in the order of their creation."""
    return [Token(**row) for row in connection.execute(_LIST).mappings()]


def note_use(connection: Connection, token_id: int, at: datetime) -> None:
    """Record that a token was used at `at`, unless that was recorded within the last minute."""
    connection.execute(_USED, {"id": token_id, "at": at})


def _refuse(
    connection: Connection, name: str, role: str, organization_id: int | None, days: int | None
) -> None:
    if not name.strip() or len(name) > LONGEST_NAME or name != one_line(name):
        raise TokenRefused(f"a token's name has 1 to {LONGEST_NAME} printable characters, not {name!r}")
    if "@" in name:
        raise TokenRefused(f"{name!r} looks like a person in the audit log; name a token without @")
    if role not in ROLES:
        raise TokenRefused(f"a token's role is one of {', '.join(ROLES)}, not {role!r}")
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise TokenRefused(f"a token lives 1 to {MOST_DAYS:,} days, or without end; not {days}")
    if organization_id is not None:
        platform.require_organization(connection, organization_id)


def _refuse_duplicate_name(connection: Connection, name: str, at: datetime) -> None:
    """Refuse the name of another active token: the audit log names tokens. Raises TokenRefused."""
    advisory_lock(connection, "tokens")  # of two that are created at once, the second finds the first
    token_id = connection.scalar(_ACTIVE_OF_NAME, {"name": name, "at": at})
    if token_id is not None:
        raise TokenRefused(
            f"token {token_id} is called {name!r} and is active; choose another name, or revoke that one"
        )


def _bigint(number: int) -> int:
    return number if 0 < number < 2**63 else 0  # 0: a bigint that is nobody's id
