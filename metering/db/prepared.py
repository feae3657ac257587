"""A statement that is planned once for each connection, and asked in one message without SQLAlchemy.

For what is asked many times a second. PostgreSQL runs the statements of one message in one transaction, so
that a setting which the first of them makes holds for the others and for nothing else.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError

from metering.db.transactions import translated

_PARAMETER = re.compile(r"(?<!:):([a-z_]+)\b")  # :name, but no cast
_GENERIC = "SELECT set_config('plan_cache_mode', 'force_generic_plan', true)"


class Prepared:
    """A statement of one row, and in `before` a SELECT that is run first; parameters are written `:name`."""

    def __init__(self, sql: str, before: str) -> None:
        names = list(dict.fromkeys(_PARAMETER.findall(sql)))
        numbered = _PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", sql)
        self._name = f"fleetmeter_{hashlib.sha256(sql.encode()).hexdigest()[:16]}"
        self._prepare = f"PREPARE {self._name} AS {numbered}"
        given = ", ".join(f"%({name})s" for name in names)
        first = _PARAMETER.sub(r"%(\1)s", before)
        self._ask = f"{_GENERIC}; {first}; EXECUTE {self._name}({given})"

    def one(self, engine: Engine, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row by column.

        Raises DatabaseUnavailable, also for a connection that died in the pool.
        """
        with _message(engine) as pooled:
            cursor: Any = pooled.cursor()
            prepared: set[str] = pooled.info.setdefault("prepared", set())
            if self._name not in prepared:
                cursor.execute(self._prepare)
                prepared.add(self._name)
            cursor.execute(self._ask, values)
            names = [column[0] for column in cursor.description]
            return dict(zip(names, cursor.fetchone(), strict=True))


@contextmanager
def _message(engine: Engine) -> Iterator[PoolProxiedConnection]:
    """Yield a pooled connection without a transaction around its statements."""
    with translated(engine):
        pooled = engine.raw_connection()
        try:
            pooled.driver_connection.autocommit = True  # type: ignore[union-attr]
            yield pooled
            pooled.driver_connection.autocommit = False  # type: ignore[union-attr]
        except psycopg2.Error as error:
            pooled.invalidate()
            lost = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
            raise DBAPIError.instance(
                None, None, error, psycopg2.Error, connection_invalidated=lost
            ) from error
        finally:
            pooled.close()
