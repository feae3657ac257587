"""Rows as mappings, for pages to show."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, TextClause

Row = Mapping[str, Any]


def every(connection: Connection, query: TextClause, **parameters: Any) -> list[Row]:
    """Return all rows of `query`."""
    return [dict(row) for row in connection.execute(query, parameters).mappings()]


def one(connection: Connection, query: TextClause, **parameters: Any) -> Row:
    """Return the only row of `query`."""
    return dict(connection.execute(query, parameters).mappings().one())
