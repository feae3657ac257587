"""Measure what a dry run would change: rows, usage and money, in all and by project."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue.meters import COUNTER_NAMES, columns
from metering.catalogue.month_sql import month_name
from metering.catalogue.own_meters import merged_sql
from metering.pricing.plans import Plans
from metering.running import spend

MOST_NAMED = 200  # projects, and alerts, named one by one

# Hours are told by PostgreSQL's own tally of this transaction: counting them takes minutes.
ROW_COUNTS = text("""
    SELECT (SELECT count(*) FROM alerts) AS alerts, (SELECT count(*) FROM gaps) AS gaps,
        (SELECT coalesce(sum(n_tup_ins - n_tup_del), 0)::bigint FROM pg_stat_xact_user_tables
            WHERE relname LIKE 'usage\\_hourly%') AS usage_hourly""")
OPENED = text(f"""
    SELECT kind, severity, project_id, subject, detail FROM alerts WHERE id > :last
    ORDER BY id LIMIT {MOST_NAMED}""")

# Rows of this transaction: `created_at` defaults to its start.
SEALED = text(f"""
    SELECT count(*) AS rows, {columns("coalesce(sum({0}), 0) AS {0}")}, {merged_sql()} AS meters
    FROM daily_stats WHERE created_at = now()""")
BILLED = text("""
    SELECT currency, count(*) AS rows, sum(total_charge) AS total FROM monthly_stats
    WHERE created_at = now() GROUP BY currency ORDER BY currency""")
BILLS = text(f"""
    SELECT project_id, {month_name()} AS month, days_present AS days,
        total_charge::text AS charge, currency
    FROM monthly_stats WHERE created_at = now() ORDER BY year, month, project_id LIMIT {MOST_NAMED}""")
ADJUSTMENT_COUNT = text("SELECT count(*) FROM adjustments WHERE created_at = now()")
PROJECTS = text(f"""
    SELECT p.id AS project_id, d.days, m.bills, m.charge::text AS charge, m.currency
    FROM (SELECT project_id FROM daily_stats WHERE created_at = now()
        UNION SELECT project_id FROM monthly_stats WHERE created_at = now()
        ORDER BY project_id LIMIT {MOST_NAMED}) p (id)
    LEFT JOIN LATERAL (SELECT count(*) AS days FROM daily_stats
        WHERE project_id = p.id AND created_at = now()) d ON true
    LEFT JOIN LATERAL (SELECT count(*) AS bills, sum(total_charge) AS charge, min(currency) AS currency
        FROM monthly_stats WHERE project_id = p.id AND created_at = now()) m ON true
    ORDER BY p.id""")
LEDGER_TOTALS = text(
    f"SELECT {columns('coalesce(sum({0}::numeric + lifetime_{0}), 0) AS {0}')} FROM project_stats"
)


def read_figures(connection: Connection, available: Plans, at: datetime) -> dict[str, Any]:
    """Return the figures before the run: usage, rows, and the running month's charge by currency."""
    charges: dict[str, Decimal] = {}
    for project in spend.by_project(connection, available, at):
        charges[project.currency] = charges.get(project.currency, Decimal(0)) + project.so_far
    return {
        "counted": dict(connection.execute(LEDGER_TOTALS).mappings().one()),
        "month_to_date": charges,
        "held": dict(connection.execute(ROW_COUNTS).mappings().one()),
        "last_alert": connection.scalar(text("SELECT coalesce(max(id), 0) FROM alerts")),
    }


def changes(connection: Connection, before: dict[str, Any], available: Plans, at: datetime) -> dict[str, Any]:
    """Return the changes of the run since `before`; call it before the rollback.

    `usage`: of the days it would seal; when it seals none, what it would count anew. `money`: the
    bills it would make. `month_to_date`: by how much the running month's charge would change.
    """
    after = read_figures(connection, available, at)
    sealed = dict(connection.execute(SEALED).mappings().one())
    bills = connection.execute(BILLED).all()
    days, own = sealed.pop("rows"), sealed.pop("meters")
    usage = {name: after["counted"][name] - before["counted"][name] for name in COUNTER_NAMES}
    rows = {
        "daily_stats": days,
        "monthly_stats": sum(bill.rows for bill in bills),
        "adjustments": connection.scalar(ADJUSTMENT_COUNT) or 0,
    } | {table: rows - before["held"][table] for table, rows in after["held"].items()}
    return {
        "rows": rows,
        "usage": {name: int(value) for name, value in (sealed | own if days else usage).items() if value},
        "money": {bill.currency: str(bill.total) for bill in bills},
        "month_to_date": _difference(before["month_to_date"], after["month_to_date"]),
        "projects": [dict(row) for row in connection.execute(PROJECTS).mappings()],
        "alerts": [
            dict(row) for row in connection.execute(OPENED, {"last": before["last_alert"]}).mappings()
        ],
    }


def bills(connection: Connection) -> dict[str, Any]:
    """Return the bills of this transaction: their sums by currency, and each by project and month."""
    sums = connection.execute(BILLED).all()
    return {
        "money": {row.currency: str(row.total) for row in sums},
        "count": sum(row.rows for row in sums),
        "bills": [dict(row) for row in connection.execute(BILLS).mappings()],
    }


def _difference(before: dict[str, Decimal], after: dict[str, Decimal]) -> dict[str, str]:
    moved = {
        currency: after.get(currency, Decimal(0)) - before.get(currency, Decimal(0))
        for currency in sorted({*before, *after})
    }
    return {currency: str(amount) for currency, amount in moved.items() if amount}
