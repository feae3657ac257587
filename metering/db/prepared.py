"""Statements that PostgreSQL plans once for each connection, where planning takes longer than running.

`Planned` runs inside a transaction, for what is run once for each of many days. `Prepared` is asked in one
message without SQLAlchemy, many times a second: PostgreSQL runs the statements of one message in one
transaction, so that a setting which the first of them makes holds for the others and for nothing else.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import psycopg2
from sqlalchemy import Connection, CursorResult, Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError

from metering.db.transactions import translated

_PARAMETER = re.compile(r"(?<!:):([a-z_]+)\b")  # :name, but no cast
# By psycopg2's connection: a dry run has another pool, and with it another `info`, for the same one.
_PREPARED: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()
_GENERIC = "SELECT set_config('plan_cache_mode', 'force_generic_plan', true)"


class _Statement:
    def __init__(self, sql: str) -> None:
        names = list(dict.fromkeys(_PARAMETER.findall(sql)))
        numbered = _PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", sql)
        self.name = f"fleetmeter_{hashlib.sha256(sql.encode()).hexdigest()[:16]}"
        self._prepare = f"PREPARE {self.name} AS {numbered}"
        arguments = ", ".join(f"%({name})s" for name in names)
        self.execution = f"EXECUTE {self.name}({arguments})"

    def ensure(self, connection: Any, run: Callable[[str], Any]) -> None:
        """Prepare the statement with `run` where psycopg2's `connection` has not done so yet."""
        prepared = _PREPARED.setdefault(connection, set())
        if self.name not in prepared:
            run(self._prepare)
            prepared.add(self.name)


class Planned:
    """A statement that is run many times in a transaction, each time by the same plan, whatever its values.

    Parameters are written `:name`. The setting holds until the transaction ends, for statements like it.
    """

    def __init__(self, sql: str) -> None:
        self._statement = _Statement(sql)
        self._run = f"{_GENERIC}; {self._statement.execution}"

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Run the statement; `values` may hold more than its parameters."""
        run = partial(connection.exec_driver_sql, execution_options={"no_parameters": True})
        self._statement.ensure(connection.connection.driver_connection, run)
        return connection.exec_driver_sql(self._run, dict(values))


class Prepared:
    """A statement of one row, and in `before` a SELECT that is run first; parameters are written `:name`."""

    def __init__(self, sql: str, before: str) -> None:
        self._statement = _Statement(sql)
        first = _PARAMETER.sub(r"%(\1)s", before)
        self._ask = f"{_GENERIC}; {first}; {self._statement.execution}"

    def one(self, engine: Engine, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row by column.

        Raises DatabaseUnavailable, also for a connection that died in the pool.
        """
        with _message(engine) as pooled:
            cursor: Any = pooled.cursor()
            self._statement.ensure(pooled.driver_connection, cursor.execute)
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
