"""Compare the host's clock with the database's (rule 14)."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

# SQL of an instant: the host's `:at`, or the database's where they differ by more than `:tolerance` seconds.
AGREED = """CASE
    WHEN abs(extract(epoch FROM clock_timestamp() - CAST(:at AS timestamptz))) > :tolerance
    THEN clock_timestamp() ELSE CAST(:at AS timestamptz) END"""


def difference(connection: Connection, at: datetime) -> timedelta:
    """Return by how much the host's clock, `at`, is ahead of the database's; negative if behind."""
    database_at: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return at - database_at
