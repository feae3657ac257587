"""Who asks, and the transaction in which they are answered.

The token is checked in PostgreSQL in the transaction of each answer, so that revoking it counts at once. The
same statement limits the transaction to the rows of the token's organization (row-level security).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, text
from starlette.requests import Request
from starlette.responses import Response

from api import context, idempotency
from api.context import Context
from api.problems import Problem, unauthenticated
from metering.config.oidc import Role
from metering.db import callers
from metering.db import scope as row_security
from metering.db.callers import Caller, Credentials
from metering.db.transactions import read_snapshot, transaction
from metering.errors import DatabaseUnavailable

T = TypeVar("T")


@dataclass(frozen=True)
class Access:
    """A transaction for one request: whose it is and at which instant, by the host's clock, in UTC."""

    connection: Connection
    caller: Caller
    at: datetime
    server: Context


def credentials(request: Request) -> Credentials:
    """Return the token that a request carries, not checked yet. Raises Problem 401."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    token_parts = callers.parse(token.strip()) if scheme.lower() == "bearer" else None
    if token_parts is None:
        raise unauthenticated()
    return token_parts


def check(request: Request, role: Role = "viewer") -> None:
    """Refuse a request before it is looked at any further. Raises Problem 401, 403 or 429."""
    read(request, lambda access: None, role)


def read(
    request: Request, answer: Callable[[Access], T], role: Role = "viewer", timeout: str | None = None
) -> T:
    """Return the result of `answer` for the request's token, read at one instant.

    `timeout` is PostgreSQL's for each statement; None: that of the session (`context`).

    Raises Problem 401 without a token that counts, 403 where it has less than `role`, 429 where it asks too
    often; DatabaseUnavailable.
    """
    try:
        return _read(request, answer, role, timeout)
    except DatabaseUnavailable:  # a connection that died in the pool: its pool is empty now
        return _read(request, answer, role, timeout)


def _read(request: Request, answer: Callable[[Access], T], role: Role, timeout: str | None) -> T:
    server, token_parts = context.of(request), credentials(request)
    at = server.now()
    with read_snapshot(server.engine) as connection:
        caller = admitted(request, callers.caller(connection, token_parts, at), role)
        if timeout is not None:
            connection.execute(text(f"SET LOCAL statement_timeout = '{timeout}'"))
        return answer(Access(connection, caller, at, server))


def write(request: Request, effect: Callable[[Access], Response], role: Role) -> Response:
    """Return the response of `effect` after its commit; an Idempotency-Key runs it once.

    The transaction writes the rows of every organization: `effect` checks what the token may touch, with
    `visible`. Raises as `read`, and Problem 409 for a key that was used for another request.
    """
    server, token_parts = context.of(request), credentials(request)
    at = server.now()
    with transaction(server.engine) as connection:
        caller = admitted(request, callers.caller(connection, token_parts, at), role, charge=False)
        access = Access(connection, caller, at, server)
        row_security.limit(connection, None)
        return idempotency.once(request, connection, caller, lambda: effect(access))


def visible(access: Access, look: Callable[[], T]) -> T:
    """Return the result of `look`, limited to the rows of the token's organization."""
    row_security.limit(access.connection, access.caller.scope)
    try:
        return look()
    finally:
        row_security.limit(access.connection, None)


def admitted(request: Request, caller: Caller | None, role: Role, charge: bool = True) -> Caller:
    """Return the caller if it may ask. Raises Problem 401, 403 or 429."""
    if caller is None:
        raise unauthenticated("this token is unknown, expired or revoked")
    server = context.of(request)
    request.state.caller = caller
    server.uses.note(server.engine, caller, server.now())
    if charge:
        _charge(server, caller)
    require_role(caller, role)
    return caller


def require_role(caller: Caller, role: Role) -> None:
    """Raise Problem 403 where the token has less than `role`."""
    if not caller.has(role):
        raise Problem(403, f"the token {caller.name} is {caller.role} and this takes {role}")


def _charge(server: Context, caller: Caller) -> None:
    wait = server.rate.take(caller.id)
    if wait:
        raise Problem(
            429,
            f"the token {caller.name} has {server.rate.per_minute:,} requests a minute; ask again later",
            headers={"Retry-After": str(max(1, round(wait + 0.5)))},
        )
