"""History to bill: months before the installation are history, until somebody asks for their bills.

History has sealed days for charts. It is in no total, limit, projection or lifetime, and no close bills
it. A request makes a project's month count: its hours join the running totals, and the next close bills
it from the days that are sealed.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from metering.catalogue import projects
from metering.catalogue.meters import columns
from metering.catalogue.month_sql import midnight, month_of_day, next_month
from metering.catalogue.periods import Day
from metering.catalogue.projects import INSTALLED_FIRST
from metering.db import audit_log

REQUEST = text(f"""
    INSERT INTO history_to_bill (project_id, month, requested_by, requested_at)
    SELECT DISTINCT d.project_id, {month_of_day("d.date")}, :actor, CAST(:at AS timestamptz)
    FROM daily_stats d WHERE d.project_id = ANY(:ids) AND d.date BETWEEN :first AND :last
        AND d.date < {INSTALLED_FIRST}
        AND NOT EXISTS (SELECT FROM monthly_stats m WHERE m.project_id = d.project_id
            AND (m.year, m.month) = (d.year, d.month))
    ON CONFLICT DO NOTHING RETURNING project_id, month""")

COUNT = text(f"""
    UPDATE project_stats s SET {columns("{0} = s.{0} + h.{0}")} FROM (
        SELECT u.project_id, {columns("sum(u.{0}) AS {0}")}
        FROM unnest(CAST(:projects AS bigint[]), CAST(:months AS date[])) AS r (project_id, month)
        JOIN usage_hourly u ON u.project_id = r.project_id
            AND u.hour >= r.month::timestamp AT TIME ZONE 'UTC'
            AND u.hour < {midnight(next_month("r.month"))}
        GROUP BY u.project_id) h
    WHERE s.project_id = h.project_id""")


def request(
    connection: Connection, project_ids: Sequence[int], first: Day, last: Day, actor: str, at: datetime
) -> int:
    """Request bills for the months of history with sealed days from `first` to `last`; return their number.

    A month that was asked for before is not asked for again.
    """
    projects.lock(connection, project_ids)
    bounds = {"ids": list(project_ids), "first": first.date, "last": last.date, "actor": actor, "at": at}
    requested = connection.execute(REQUEST, bounds).all()
    ids, months = [row.project_id for row in requested], [row.month for row in requested]
    if requested:
        connection.execute(COUNT, {"projects": ids, "months": months})
        request = {"from": str(first), "to": str(last), "projects": len(set(ids)), "months": len(requested)}
        audit_log.record(connection, actor, "bill-history", f"{first}..{last}", after=request, at=at)
    return len(requested)
