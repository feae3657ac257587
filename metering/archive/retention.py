"""Retention: drop old hours and days, of months that are closed and archived only, and old runs.

Nothing is dropped unless a setting says for how long it is kept, but runs and resolved alerts. A month
that nobody's tier keeps goes as a partition; otherwise chunks of projects are deleted. The audit log
has what went, before it goes: `verify` and the trigger on daily_stats go by that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, Engine, text

from metering.archive import records
from metering.catalogue.periods import Month
from metering.db.transactions import chunks, in_batches, transaction
from metering.ledger import devices
from metering.months.due import due_months

UNARCHIVED = "no archive holds every bill of it: set FLEETMETER_ARCHIVE_BUCKET, then fleetmeter run archive"
RUNS = 10_000  # deleted in one transaction
FORGOTTEN = {
    "job_runs": "state IN ('succeeded', 'failed', 'cancelled') AND finished_at < :before",
    "alerts": "resolved_at < :before",
}

Keep = Mapping[str, int]  # tier -> how long; under "" for the tiers that are not named
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class RemovedRows:
    """Rows of a month that went, or would go: of how many projects, and whether as a whole partition."""

    rows: int
    projects: int
    whole: bool

    def __str__(self) -> str:
        how = "as a partition" if self.whole else "in chunks"
        return f"{self.rows:,} rows of {self.projects:,} project{'s' * (self.projects != 1)}, {how}"


@dataclass(frozen=True)
class Table:
    """A table that retention shortens; `start` and `end` bound a month in its column."""

    name: str
    column: str
    cast: str


HOURS = Table("usage_hourly", "hour", "timestamptz")
DAYS = Table("daily_stats", "date", "date")


def shorten(
    engine: Engine,
    table: Table,
    over: Mapping[str, datetime],
    actor: str,
    progress: Progress,
    dry_run: bool = False,
) -> dict[str, RemovedRows]:
    """Drop the rows of closed, archived months that end by `over` (tier -> instant) of the bill's tier.

    Returns the rows removed of each month; a `dry_run` counts them and removes nothing. Each chunk of a
    month is a transaction of its own: after an interruption the next run continues.
    """
    if not over:
        return {}
    with transaction(engine) as connection:
        months = [month for month in records.archived_months(connection) if month.end <= max(over.values())]
    removed = {}
    for number, month in enumerate(months):
        progress(f"shortening {table.name}", number, len(months))
        if rows := _shorten_month(engine, table, month, over, actor, dry_run):
            removed[str(month)] = rows
    return removed


def reasons_to_keep(connection: Connection, over: Mapping[str, datetime], at: datetime) -> dict[str, str]:
    """Return the months that a tier no longer keeps but that may not go: month -> reason."""
    until = max(over.values(), default=None)
    if until is None:
        return {}
    open_ = dict.fromkeys(due_months(connection, at), "it is not closed for every project")
    reasons = dict.fromkeys(records.unarchived_months(connection), UNARCHIVED) | open_
    return {str(month): reasons[month] for month in sorted(reasons) if month.end <= until}


def forget_runs(engine: Engine, before: datetime, dry_run: bool = False) -> dict[str, int]:
    """Delete finished runs and resolved alerts older than `before`; dead letters stay.

    Returns the number of rows removed by table; a `dry_run` counts them and removes nothing.
    """
    return {
        table: _old(engine, table, which, before) if dry_run else _forget(engine, table, which, before)
        for table, which in FORGOTTEN.items()
    }


def forget_devices(engine: Engine, before: date, dry_run: bool = False) -> int:
    """Delete the devices of days before `before`, in batches; returns the number of rows.

    A `dry_run` counts them and removes nothing.
    """
    if dry_run:
        with transaction(engine) as connection:
            return devices.count_before(connection, before)
    return in_batches(engine, devices.DELETED, lambda connection: devices.forget(connection, before))


def cutoffs(keep: Keep, at: datetime) -> dict[str, datetime]:
    """Return tier -> the instant before which its hours may go; `keep` is in days."""
    return {tier: at - timedelta(days=days) for tier, days in keep.items()}


def month_cutoffs(keep: Keep, at: datetime) -> dict[str, datetime]:
    """Return tier -> the instant before which its days may go; `keep` is in months."""
    return {tier: _months_before(at, months) for tier, months in keep.items()}


def _months_before(at: datetime, months: int) -> datetime:
    number = at.year * 12 + at.month - 1 - months
    return datetime(max(1, number // 12), number % 12 + 1, 1, tzinfo=at.tzinfo)


def _shorten_month(
    engine: Engine, table: Table, month: Month, over: Mapping[str, datetime], actor: str, dry_run: bool
) -> RemovedRows | None:
    with transaction(engine) as connection:
        ids = _free(connection, table, month, over)
        if not ids:
            return None
        rows = _count(connection, table, month, ids)
    if not dry_run:
        for chunk in [ids] if rows.whole else chunks(ids):
            _remove(engine, table, month, chunk, actor)
    return rows


def _inside(table: Table) -> str:
    """Return SQL: the row of `t` is in the month from :start to :end."""
    since, until = (f"CAST(:{bound} AS {table.cast})" for bound in ("start", "end"))
    return f"t.{table.column} >= {since} AND t.{table.column} < {until}"


def _count(connection: Connection, table: Table, month: Month, ids: list[int]) -> RemovedRows:
    query = text(f"""
        SELECT count(*) FILTER (WHERE t.project_id = ANY(:ids)) AS rows, count(*) AS all_rows,
            bool_and(t.tableoid = to_regclass(:name)) AS in_partition
        FROM {table.name} t WHERE {_inside(table)}""")
    parameters = month.bounds() | {"ids": ids, "name": _partition(table, month)}
    row = connection.execute(query, parameters).one()
    return RemovedRows(row.rows, len(ids), bool(row.rows == row.all_rows and row.in_partition))


def _free(connection: Connection, table: Table, month: Month, over: Mapping[str, datetime]) -> list[int]:
    """Return the billed projects with rows of `month` whose tier no longer keeps them."""
    tiers = [tier for tier, until in over.items() if tier and month.end <= until]
    keeping = [tier for tier, until in over.items() if tier and month.end > until]
    rest = "" in over and month.end <= over[""]
    query = text(f"""
        SELECT m.project_id FROM monthly_stats m WHERE m.year = :year AND m.month = :month
            AND (m.tier = ANY(:tiers) OR (:rest AND NOT m.tier = ANY(:keeping)))
            AND EXISTS (SELECT FROM {table.name} t WHERE t.project_id = m.project_id
                AND t.{table.column} >= CAST(:start AS {table.cast})
                AND t.{table.column} < CAST(:end AS {table.cast}))
        ORDER BY m.project_id""")
    parameters = month.bounds() | {"tiers": tiers, "keeping": keeping, "rest": rest}
    return list(connection.scalars(query, parameters))


def _partition(table: Table, month: Month) -> str:
    return f"{table.name}_{month.year:04d}_{month.month:02d}"


def _remove(engine: Engine, table: Table, month: Month, ids: Sequence[int], actor: str) -> None:
    """Record the rows in the audit log and remove them, or their partition, as the tables' owner."""
    parameters = {"table": table.name, "first": month.first.date, "ids": list(ids), "actor": actor}
    with transaction(engine) as connection:
        # A partition is dropped under a lock: a reader must not hold up the counter behind us.
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        connection.execute(
            text("SELECT fleetmeter_retention(:table, :first, CAST(:ids AS bigint[]), :actor)"), parameters
        )


def _old(engine: Engine, table: str, which: str, before: datetime) -> int:
    with transaction(engine) as connection:
        query = text(f"SELECT count(*) FROM {table} WHERE {which}")
        return connection.scalar(query, {"before": before}) or 0


def _forget(engine: Engine, table: str, which: str, before: datetime) -> int:
    statement = f"""DELETE FROM {table} WHERE id IN (
        SELECT id FROM {table} WHERE {which} ORDER BY id LIMIT :most)"""
    values = {"before": before, "most": RUNS}
    return in_batches(engine, RUNS, lambda connection: connection.execute(text(statement), values).rowcount)
