"""Retention: drop old hours and days, of months that are closed and archived only, and old runs.

Nothing is dropped unless a setting says for how long it is kept, but runs and resolved alerts. A month
that nobody's tier keeps goes as a partition; otherwise chunks of projects are deleted. The audit log
has what went, before it goes: `verify` and the trigger on daily_stats go by that.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, Engine, text

from metering import database
from metering.errors import PeriodError
from metering.periods import Month

RUNS = 10_000  # deleted in one transaction

Keep = Mapping[str, int]  # tier -> how long; under "" for the tiers that are not named
Progress = Callable[[str, int, int], None]

ARCHIVED = """(SELECT subject AS month, max((after->>'bills')::bigint) AS bills FROM audit_log
    WHERE action = 'archive' GROUP BY subject)"""
BILLS = """(SELECT year, month, count(*) AS bills FROM monthly_stats GROUP BY year, month)"""

NOT_ARCHIVED = text(f"""
    SELECT b.year, b.month FROM {BILLS} b
    LEFT JOIN {ARCHIVED} a ON a.month = format('%s-%s', b.year, lpad(b.month::text, 2, '0'))
    WHERE a.bills IS NULL OR a.bills < b.bills ORDER BY b.year, b.month""")
IS_ARCHIVED = text(f"""
    SELECT b.year, b.month FROM {BILLS} b
    JOIN {ARCHIVED} a ON a.month = format('%s-%s', b.year, lpad(b.month::text, 2, '0'))
    WHERE a.bills >= b.bills ORDER BY b.year, b.month""")

LOG = text("""
    INSERT INTO audit_log (actor, action, subject, after)
    VALUES (:actor, :action, :subject, CAST(:after AS jsonb))""")


@dataclass(frozen=True)
class Table:
    """A table that retention shortens; `start` and `end` bound a month in its column."""

    name: str
    column: str
    cast: str


HOURS = Table("usage_hourly", "hour", "timestamptz")
DAYS = Table("daily_stats", "date", "date")


def not_archived(connection: Connection) -> list[Month]:
    """Months with bills that no archive holds yet, in order."""
    return [Month(*row) for row in connection.execute(NOT_ARCHIVED)]


def archived(connection: Connection) -> list[Month]:
    """Months whose every bill is in an archive, in order."""
    return [Month(*row) for row in connection.execute(IS_ARCHIVED)]


def note_archived(connection: Connection, month: Month, bills: int, place: str, actor: str) -> None:
    """Remember that an archive at `place` holds `bills` of `month`, read back and verified."""
    after = json.dumps({"bills": bills, "place": place})
    connection.execute(LOG, {"actor": actor, "action": "archive", "subject": str(month), "after": after})


def archived_at(connection: Connection, month: Month) -> tuple[str, str]:
    """Bucket and prefix of the newest archive of `month`. Raises PeriodError when there is none."""
    query = text("""SELECT after->>'place' FROM audit_log
        WHERE action = 'archive' AND subject = :month ORDER BY id DESC LIMIT 1""")
    place = connection.scalar(query, {"month": str(month)})
    if place is None:
        raise PeriodError(f"{month} is not archived; run: fleetmeter run archive")
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    return bucket, prefix


def shorten(
    engine: Engine,
    table: Table,
    over: Mapping[str, datetime],
    actor: str,
    progress: Progress,
) -> dict[str, str]:
    """Drop the rows of closed, archived months that end by `over` (tier -> instant) of the bill's tier.

    Returns month -> "dropped", or how many projects' rows were deleted. Each month's chunks are
    transactions of their own: interrupted, the next run goes on.
    """
    if not over:
        return {}
    with database.transaction(engine) as connection:
        months = [month for month in archived(connection) if month.end <= max(over.values())]
    done = {}
    for number, month in enumerate(months):
        progress(f"shortening {table.name}", number, len(months))
        if found := _shorten_month(engine, table, month, over, actor):
            done[str(month)] = found
    return done


def forget_runs(engine: Engine, before: datetime) -> dict[str, int]:
    """Delete finished runs and resolved alerts older than `before`; dead letters stay."""
    statements = {
        "job_runs": """DELETE FROM job_runs WHERE id IN (SELECT id FROM job_runs
            WHERE state IN ('succeeded', 'failed', 'cancelled') AND finished_at < :before
            ORDER BY id LIMIT :most)""",
        "alerts": """DELETE FROM alerts WHERE id IN (SELECT id FROM alerts
            WHERE resolved_at < :before ORDER BY id LIMIT :most)""",
    }
    return {name: _in_chunks(engine, statement, before) for name, statement in statements.items()}


def cutoffs(keep: Keep, at: datetime) -> dict[str, datetime]:
    """Tier -> the instant before which its hours may go; `keep` in days."""
    return {tier: at - timedelta(days=days) for tier, days in keep.items()}


def month_cutoffs(keep: Keep, at: datetime) -> dict[str, datetime]:
    """Tier -> the instant before which its days may go; `keep` in months."""
    return {tier: _months_before(at, months) for tier, months in keep.items()}


def _months_before(at: datetime, months: int) -> datetime:
    number = at.year * 12 + at.month - 1 - months
    return datetime(max(1, number // 12), number % 12 + 1, 1, tzinfo=at.tzinfo)


def _shorten_month(
    engine: Engine, table: Table, month: Month, over: Mapping[str, datetime], actor: str
) -> str | None:
    bounds = {"start": month.start, "end": month.end}
    inside = (
        f"t.{table.column} >= CAST(:start AS {table.cast}) AND t.{table.column} < CAST(:end AS {table.cast})"
    )
    with database.transaction(engine) as connection:
        ids = _free(connection, table, month, over)
        if not ids:
            return None
        others = connection.scalar(
            text(f"SELECT 1 FROM {table.name} t WHERE {inside} AND NOT t.project_id = ANY(:ids) LIMIT 1"),
            bounds | {"ids": ids},
        )
        _log(connection, table, month, actor, len(ids))
        if others is None and _drop_partition(connection, table, month):
            return "dropped"
    for chunk in database.chunks(ids):
        with database.transaction(engine) as connection:
            connection.execute(
                text(f"DELETE FROM {table.name} t WHERE {inside} AND t.project_id = ANY(:ids)"),
                bounds | {"ids": chunk},
            )
    return f"{len(ids)} projects"


def _free(connection: Connection, table: Table, month: Month, over: Mapping[str, datetime]) -> list[int]:
    """Projects with rows of `month` that are billed, and whose tier keeps them no longer."""
    tiers = [tier for tier, until in over.items() if tier and month.end <= until]
    kept = [tier for tier, until in over.items() if tier and month.end > until]
    rest = "" in over and month.end <= over[""]
    query = text(f"""
        SELECT m.project_id FROM monthly_stats m WHERE m.year = :year AND m.month = :month
            AND (m.tier = ANY(:tiers) OR (:rest AND NOT m.tier = ANY(:kept)))
            AND EXISTS (SELECT FROM {table.name} t WHERE t.project_id = m.project_id
                AND t.{table.column} >= CAST(:start AS {table.cast})
                AND t.{table.column} < CAST(:end AS {table.cast}))
        ORDER BY m.project_id""")
    given = {"year": month.year, "month": month.month, "start": month.start, "end": month.end}
    return list(connection.scalars(query, given | {"tiers": tiers, "kept": kept, "rest": rest}))


def _drop_partition(connection: Connection, table: Table, month: Month) -> bool:
    name = f"{table.name}_{month.year:04d}_{month.month:02d}"
    if connection.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is None:
        return False
    in_default = text(f"""SELECT 1 FROM {table.name}_default t
        WHERE t.{table.column} >= CAST(:start AS {table.cast})
        AND t.{table.column} < CAST(:end AS {table.cast}) LIMIT 1""")
    if connection.scalar(in_default, {"start": month.start, "end": month.end}):
        return False
    connection.execute(text("SET LOCAL lock_timeout = '5s'"))  # a reader must not stop the counter behind us
    connection.execute(text(f"DROP TABLE {name}"))
    return True


def _log(connection: Connection, table: Table, month: Month, actor: str, projects: int) -> None:
    before: date = month.next().first.date
    after = json.dumps({"before": str(before), "month": str(month), "projects": projects})
    connection.execute(LOG, {"actor": actor, "action": "retention", "subject": table.name, "after": after})


def _in_chunks(engine: Engine, statement: str, before: datetime) -> int:
    deleted = 0
    while True:
        with database.transaction(engine) as connection:
            some = connection.execute(text(statement), {"before": before, "most": RUNS}).rowcount
        deleted += some
        if some < RUNS:
            return deleted
