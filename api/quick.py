"""One row for a token, in one round trip: what is asked many times a second (live figures, limit checks).

Both statements travel in one message and so run in one transaction of PostgreSQL: the first reads the token
and limits the transaction to its organization, the second reads the row under that limit.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from starlette.requests import Request

from api import context
from api.access import admitted, credentials
from metering.config.oidc import Role
from metering.db import tokens
from metering.db.transactions import connected
from metering.errors import DatabaseUnavailable

_CALLER = """
    SELECT set_config('fleetmeter.caller', coalesce(
        (SELECT row_to_json(c)::text FROM fleetmeter_caller(%(token)s, %(moment)s) c), ''), true);
    SELECT current_setting('fleetmeter.caller') AS caller, found.* FROM (SELECT) AS always
    LEFT JOIN ({query}) AS found ON true"""
Row = Mapping[str, Any]


class Answer(NamedTuple):
    """The row that was found, None if there is none, and the instant of the question in UTC."""

    row: dict[str, Any] | None
    at: datetime


class Query:
    """A statement that reads at most one row; `key` is a column that is never NULL in it."""

    def __init__(self, sql: str, key: str) -> None:
        """Take SQL with parameters as psycopg2 writes them: `%(name)s`."""
        self.sql, self.key = _CALLER.format(query=sql), key

    def read(self, request: Request, parameters: Row, role: Role = "viewer") -> Answer:
        """Return the row as the token that asks sees it. Raises as `access.read`."""
        at, sent = context.of(request).now(), credentials(request)
        values = {**parameters, "token": sent.id, "moment": at}
        try:
            row = self._once(request, values)
        except DatabaseUnavailable:  # a connection that died in the pool: its pool is empty now
            row = self._once(request, values)
        caller = json.loads(row["caller"]) if row["caller"] else None
        if caller is not None and caller["last_used_at"] is not None:
            caller["last_used_at"] = datetime.fromisoformat(caller["last_used_at"])
        admitted(request, tokens.accepted(caller, sent), role)
        return Answer(row if row[self.key] is not None else None, at)

    def _once(self, request: Request, values: Row) -> dict[str, Any]:
        with connected(context.of(request).quick) as connection:
            return dict(connection.exec_driver_sql(self.sql, dict(values)).mappings().one())
