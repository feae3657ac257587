"""A dry run is the run itself in one transaction that is rolled back, so that they cannot differ.

What a job commits becomes a savepoint: its later steps see what its earlier ones wrote, nobody else
does, and in the end it is undone. The rows it touched stay locked meanwhile: counting waits for
them, loses nothing, and catches up.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2.extensions
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from metering.db.engine import SESSION
from metering.db.transactions import connected


class RollbackConnection(psycopg2.extensions.connection):
    """A connection that never commits. `keep` False: what would be committed is undone at once."""

    marked = False
    keep = True

    def mark(self) -> None:
        """From here on, everything is undone at the end."""
        self._say("SAVEPOINT rehearsal")
        self.marked = True

    def commit(self) -> None:
        if self.marked and self.keep:
            self._say("RELEASE SAVEPOINT rehearsal; SAVEPOINT rehearsal")
        else:
            self.rollback()

    def rollback(self) -> None:
        if self.marked and self.keep:
            self._say("ROLLBACK TO SAVEPOINT rehearsal")
        else:
            super().rollback()

    def close(self) -> None:
        """Stay open: a connection of a lock is closed to free it, and this is everybody's."""

    def end(self) -> None:
        """Undo everything."""
        super().close()

    def _say(self, statement: str) -> None:
        with self.cursor() as cursor:
            cursor.execute(statement)


@contextmanager
def dry_run(engine: Engine, keep: bool = True) -> Iterator[Engine]:
    """An engine of one connection, whose every change is undone at the end.

    `keep` False undoes each transaction at its end, and so holds no lock between them: for work
    whose transactions do not build on each other and have slow calls in between.
    """
    options = dict(engine.dialect.create_connect_args(engine.url)[1])
    session = " ".join(f"-c {setting}" for setting in SESSION)
    options |= {"connection_factory": RollbackConnection, "options": session}
    with connected(engine):
        pass  # says in the usual words when the database is away
    undone = psycopg2.connect(**options)
    undone.keep = keep
    rehearsed = create_engine(engine.url, creator=lambda: undone, poolclass=StaticPool)
    event.listen(rehearsed, "connect", _mark)
    try:
        yield rehearsed
    finally:
        undone.end()
        rehearsed.dispose()


def _mark(connection: Any, _: Any) -> None:
    if not connection.marked and connection.keep:
        connection.mark()
