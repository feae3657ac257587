"""One row for a token, in one round trip: what is asked many times a second (live figures, limit checks).

Both statements travel in one message and so run in one transaction of PostgreSQL: the first reads the token
and limits the transaction to its organization, the second reads the row under that limit. The second is
prepared once for each connection: planning it takes several times as long as running it.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from starlette.requests import Request

from api import context
from api.access import admitted, credentials
from metering.config.oidc import Role
from metering.db import callers
from metering.db.prepared import Prepared
from metering.errors import DatabaseUnavailable

_CALLER = """SELECT set_config('fleetmeter.caller', coalesce(
    (SELECT row_to_json(c)::text FROM fleetmeter_caller(:token, :moment) c), ''), true)"""
_ROW = """SELECT current_setting('fleetmeter.caller', true) AS caller, found.* FROM (SELECT) AS always
    LEFT JOIN ({sql}) AS found ON true"""
Row = Mapping[str, Any]


class Answer(NamedTuple):
    """The row that was found, None if there is none, and the instant of the question in UTC."""

    row: dict[str, Any] | None
    at: datetime


class Query:
    """A statement that reads at most one row; `key` is a column that is never NULL in it."""

    def __init__(self, sql: str, key: str) -> None:
        """Take SQL whose parameters are written `:name`."""
        self.key, self._prepared = key, Prepared(_ROW.format(sql=sql), _CALLER)

    def read(self, request: Request, parameters: Row, role: Role = "viewer") -> Answer:
        """Return the row as the token that asks sees it. Raises as `access.read`."""
        at, token_parts = context.of(request).now(), credentials(request)
        values = {**parameters, "token": token_parts.id, "moment": at}
        engine = context.of(request).engine
        try:
            row = self._prepared.one(engine, values)
        except DatabaseUnavailable:  # a connection that died in the pool, say
            row = self._prepared.one(engine, values)
        admitted(request, callers.accepted(_caller(row["caller"]), token_parts), role)
        return Answer(row if row[self.key] is not None else None, at)


def _caller(row_text: str | None) -> dict[str, Any] | None:
    """Return a row of `fleetmeter_caller` from its JSON."""
    if not row_text:
        return None
    caller: dict[str, Any] = json.loads(row_text)
    used = caller["last_used_at"]
    return caller | {"last_used_at": None if used is None else datetime.fromisoformat(used)}
