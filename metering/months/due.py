"""Months that are over and not billed."""

from datetime import datetime

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.month_sql import month_of_day, month_of_hour
from metering.catalogue.periods import Month
from metering.catalogue.projects import BILLED_UNTIL, INSTALLED_FIRST, METERED_UNTIL

# Months close in order: a project that has the bill of the month before the running one is skipped.
# Of the others, the first month after the last bill that has a sealed day, history that is to be billed,
# a correction to pay, or an hour that is not sealed yet.
FIRST = text(f"""
    SELECT min(due.month) FROM (
        SELECT * FROM project_stats s WHERE NOT EXISTS (
            SELECT FROM monthly_stats m WHERE m.project_id = s.project_id
            AND (m.year, m.month) = (:year, :month)) OFFSET 0) s
    JOIN {platform.PROJECTS} p ON p.id = s.project_id
    CROSS JOIN LATERAL (SELECT coalesce({BILLED_UNTIL.format(project="p.id")}, '-infinity') AS until) billed
    CROSS JOIN LATERAL (SELECT least(
        (SELECT {month_of_day("min(d.date)")} FROM daily_stats d WHERE d.project_id = p.id
            AND d.date >= greatest(billed.until, {INSTALLED_FIRST})
            AND d.date < :running),
        (SELECT min(b.month) FROM history_to_bill b WHERE b.project_id = p.id AND b.month >= billed.until),
        (SELECT min(x.posted_month) FROM adjustments x WHERE x.project_id = p.id
            AND x.posted_month >= billed.until AND x.posted_month < :running),
        CASE WHEN least({METERED_UNTIL}, :running_start) > s.open_from
            THEN {month_of_hour("s.open_from")} END) AS month) due
    WHERE due.month < :running""")


def due_months(connection: Connection, at: datetime) -> list[Month]:
    """Return the months that are over at `at` and have something to bill in some project, in order."""
    running = Month.of(at)
    bounds = {"running": running.first.date, "running_start": running.start}
    before = {"year": running.previous().year, "month": running.previous().month}
    first = connection.scalar(FIRST, bounds | before)
    months = [] if first is None else [Month(first.year, first.month)]
    while months and months[-1].next() < running:
        months.append(months[-1].next())
    return months
