"""List the days that wait to be sealed and the months that wait to be closed, in order."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.periods import Day, Month, days
from metering.catalogue.projects import METERED_UNTIL
from metering.months.due import due_months

FIRST_OPEN_DAY = text(f"""
    SELECT min(s.open_from) FROM project_stats s JOIN {platform.PROJECTS} p ON p.id = s.project_id
    WHERE s.open_from < least(CAST(:today AS timestamptz), {METERED_UNTIL})""")

# The last run of each period, if there is one.
RUNS = text("""
    SELECT due.job, due.period, coalesce(run.state, 'not asked for') AS state, run.next_attempt_at
    FROM jsonb_to_recordset(CAST(:due AS jsonb)) AS due (place int, job text, period text)
    LEFT JOIN LATERAL (
        SELECT state, CASE WHEN state = 'queued' THEN next_attempt_at END AS next_attempt_at
        FROM job_runs r WHERE r.job = due.job AND r.period = due.period AND NOT r.dry_run
        ORDER BY r.id DESC LIMIT 1) run ON true
    ORDER BY due.place""")


def open_days(connection: Connection, at: datetime) -> list[Day]:
    """Return the days that are over at `at` and not sealed for every project, in order."""
    today = Day.of(at)
    first = connection.scalar(FIRST_OPEN_DAY, {"today": today.start})
    return [] if first is None else list(days(Day.of(first), today.previous()))


def open_months(connection: Connection, at: datetime) -> list[Month]:
    """Return the months that are over at `at` and not closed for every project with usage, in order."""
    return due_months(connection, at)


def plan(connection: Connection, at: datetime) -> list[dict[str, Any]]:
    """Return the waiting days, then the months: job, period, state and next_attempt_at of each."""
    due = [("daily", str(day)) for day in open_days(connection, at)]
    due += [("monthly", str(month)) for month in open_months(connection, at)]
    rows = [{"place": place, "job": job, "period": period} for place, (job, period) in enumerate(due)]
    return [dict(row) for row in connection.execute(RUNS, {"due": json.dumps(rows)}).mappings()]


def summary(plan: list[dict[str, Any]]) -> str:
    """Return the plan in a line, for people."""
    parts = []
    for job, noun in (("daily", "day"), ("monthly", "month")):
        periods = [row["period"] for row in plan if row["job"] == job]
        if periods:
            span = periods[0] if len(periods) == 1 else f"{periods[0]} to {periods[-1]}"
            verb = "to seal" if job == "daily" else "to close"
            parts.append(f"{len(periods)} {noun}{'s' * (len(periods) > 1)} {verb} ({span})")
    return ", then ".join(parts)
