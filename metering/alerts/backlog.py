"""What is over and neither sealed nor closed: after an outage, the work that has piled up, in order."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue.periods import Day, Month, days
from metering.catalogue.projects import METERED_UNTIL
from metering.months.due import due_months

FIRST_OPEN_DAY = text(f"""
    SELECT min(s.open_from) FROM project_stats s JOIN projects p ON p.id = s.project_id
    WHERE s.open_from < least(CAST(:today AS timestamptz), {METERED_UNTIL})""")

# The last run of each period, or that nobody has asked for one yet.
RUNS = text("""
    SELECT due.job, due.period, coalesce(run.state, 'not asked for') AS state, run.next_attempt_at
    FROM jsonb_to_recordset(CAST(:due AS jsonb)) AS due (place int, job text, period text)
    LEFT JOIN LATERAL (
        SELECT state, CASE WHEN state = 'queued' THEN next_attempt_at END AS next_attempt_at
        FROM job_runs r WHERE r.job = due.job AND r.period = due.period AND NOT r.dry_run
        ORDER BY r.id DESC LIMIT 1) run ON true
    ORDER BY due.place""")


def open_days(connection: Connection, at: datetime) -> list[Day]:
    """Days over at `at` that some project has not sealed, in order."""
    today = Day.of(at)
    first = connection.scalar(FIRST_OPEN_DAY, {"today": today.start})
    return [] if first is None else list(days(Day.of(first), today.previous()))


def open_months(connection: Connection, at: datetime) -> list[Month]:
    """Months over at `at` in which some project has usage that is not billed, in order."""
    return due_months(connection, at)


def plan(connection: Connection, at: datetime) -> list[dict[str, Any]]:
    """The days and then the months that are behind at `at`: job, period, state and next attempt."""
    due = [("daily", str(day)) for day in open_days(connection, at)]
    due += [("monthly", str(month)) for month in open_months(connection, at)]
    rows = [{"place": place, "job": job, "period": period} for place, (job, period) in enumerate(due)]
    return [dict(row) for row in connection.execute(RUNS, {"due": json.dumps(rows)}).mappings()]


def summary(found: list[dict[str, Any]]) -> str:
    """The plan in a line, for people."""
    parts = []
    for job, what in (("daily", "day"), ("monthly", "month")):
        periods = [row["period"] for row in found if row["job"] == job]
        if periods:
            reach = periods[0] if len(periods) == 1 else f"{periods[0]} to {periods[-1]}"
            verb = "to seal" if job == "daily" else "to close"
            parts.append(f"{len(periods)} {what}{'s' * (len(periods) > 1)} {verb} ({reach})")
    return ", then ".join(parts)
