"""Create the monthly partitions of usage_hourly and daily_stats."""

from datetime import datetime

from sqlalchemy import Connection, Engine, text

from metering.catalogue.periods import Month
from metering.db.transactions import transaction


def ensure_partitions(engine: Engine, at: datetime) -> None:
    """Make the partitions of this month and the next, in a transaction of their own."""
    with transaction(engine) as connection:
        for month in (Month.of(at), Month.of(at).next()):
            ensure_partition(connection, month)


def ensure_partition(connection: Connection, month: Month) -> None:
    """Make the partitions that `month` is written to; nothing when they are there."""
    for table in ("usage_hourly", "daily_stats"):
        connection.execute(
            text("SELECT fleetmeter_ensure_partition(:table, :day)"),
            {"table": table, "day": month.first.date},
        )
