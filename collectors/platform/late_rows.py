"""Recount each sealed day once, to find rows that the platform wrote or removed after the seal."""

from datetime import datetime

from sqlalchemy import Connection, Engine, text

from collectors.platform.tables import SOURCE, TABLES, stage_range
from metering.catalogue import projects
from metering.catalogue.periods import Day
from metering.db.transactions import chunks, session_lock
from metering.errors import SourceUnavailable
from metering.ledger import late_rows


def recount_late(engine: Engine, at: datetime) -> dict[str, int]:
    """Recount each day once, 24 h after its seal; return days recounted and adjustments posted.

    Raises SourceUnavailable when a table cannot be read: the days stay due.
    """
    try:
        with session_lock(engine, SOURCE) as connection:
            with connection.begin():
                sealed = late_rows.waiting(connection, SOURCE, at)
                days = late_rows.due(connection, sealed)
                ids = projects.ids(connection)
            posted = sum(_post(connection, day, ids, sealed, at) for day in days)
            if days:
                with connection.begin():
                    late_rows.finish(connection, SOURCE, days, sealed, at)
    except SourceUnavailable as error:
        raise SourceUnavailable(f"late rows were not counted: {error}", error.passing) from error
    return {"days": len(days), "adjustments": posted}


def _post(connection: Connection, day: Day, ids: list[int], sealed: late_rows.Sealed, at: datetime) -> int:
    with connection.begin():
        stage_range(connection, day.start, day.end)
        begins = _begins(connection, day)
    posted = 0
    for chunk in chunks(ids):
        with connection.begin():
            posted += late_rows.post(connection, SOURCE, day, chunk, sealed, at, begins)
    return posted


def _begins(connection: Connection, day: Day) -> dict[str, late_rows.Begins]:
    """Return where each counter's table begins, as seen from `day`."""
    begins: dict[str, late_rows.Begins] = {}
    for table, counts in TABLES.items():
        hour = connection.scalar(text(f"SELECT date_trunc('hour', min(created_at), 'UTC') FROM {table}"))
        begins |= {counter: late_rows.begins(connection, counter, day, hour) for counter in counts}
    return begins
