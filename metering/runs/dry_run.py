"""Dry-run a job: the run itself, in one transaction that is rolled back, so that they cannot differ.

Each commit of a job becomes a savepoint: its later steps see the rows of its earlier ones, nobody else
does, and at the end all is rolled back. The rows it touched stay locked meanwhile: counting waits for
them, loses nothing, and catches up.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2.extensions
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from metering.db import session
from metering.db.transactions import connected


class RollbackConnection(psycopg2.extensions.connection):
    """A connection that never commits; with `keep` False, each transaction is rolled back at its end."""

    marked = False
    keep = True

    def mark(self) -> None:
        """Set the savepoint: everything from here on is rolled back by `end`."""
        self._execute("SAVEPOINT dry_run")
        self.marked = True

    def commit(self) -> None:
        """Replace a commit by a savepoint."""
        if self.marked and self.keep:
            self._execute("RELEASE SAVEPOINT dry_run; SAVEPOINT dry_run")
        else:
            self.rollback()

    def rollback(self) -> None:
        """Roll back to the last savepoint, or everything."""
        if self.marked and self.keep:
            self._execute("ROLLBACK TO SAVEPOINT dry_run")
        else:
            super().rollback()

    def close(self) -> None:
        """Stay open: closing a lock's connection would close the one that all share."""

    def end(self) -> None:
        """Roll everything back and close the connection."""
        super().close()

    def _execute(self, statement: str) -> None:
        with self.cursor() as cursor:
            cursor.execute(statement)


@contextmanager
def dry_run(engine: Engine, keep: bool = True) -> Iterator[Engine]:
    """Yield an engine of one connection whose every change is rolled back at the end.

    `keep` False rolls back each transaction at its end, and so holds no lock between them: for work
    whose transactions do not build on each other and have slow calls in between.
    """
    options = dict(engine.dialect.create_connect_args(engine.url)[1])
    options |= {"connection_factory": RollbackConnection}
    with connected(engine):
        pass  # raises DatabaseUnavailable
    connection = psycopg2.connect(**options)
    session.prepare(connection, engine.get_execution_options().get("session_settings", session.SETTINGS))
    connection.keep = keep
    isolated = create_engine(
        engine.url,
        creator=lambda: connection,
        poolclass=StaticPool,
        execution_options=engine.get_execution_options(),
    )
    event.listen(isolated, "connect", _mark)
    try:
        yield isolated
    finally:
        connection.end()
        isolated.dispose()


def _mark(connection: Any, _: Any) -> None:
    if not connection.marked and connection.keep:
        connection.mark()
