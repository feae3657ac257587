"""Post late rows as adjustments: of the day's own month while it is open, else of their worth in money.

Where the running month has another currency than the closed one, they are kept with their worth and not
applied: `unapplied` names them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue.month_sql import first_of_month
from metering.catalogue.periods import Day, Month
from metering.catalogue.projects import BILLED_UNTIL, INSTALLED_FIRST, IS_BILLED
from metering.db import audit_log
from metering.ledger.late_rows import ACTOR, LateRows
from metering.months import billed_month

OPEN = text(f"""
    SELECT p.id FROM unnest(CAST(:ids AS bigint[])) AS p (id)
    WHERE {IS_BILLED.format(project="p.id", month="CAST(:first AS date)")} AND NOT EXISTS (
        SELECT FROM monthly_stats m WHERE m.project_id = p.id AND {first_of_month("m")} >= :first)""")

# The month that pays for a closed one: the running one, or that after the last bill, if a run is dated back.
PAYING = text(f"""
    SELECT p.id AS project_id, greatest(CAST(:running AS date), {INSTALLED_FIRST},
        {BILLED_UNTIL.format(project="p.id")}) AS month
    FROM unnest(CAST(:ids AS bigint[])) AS p (id)""")

POST = text(f"""
    WITH posted AS (
        INSERT INTO adjustments (project_id, kind, meter, quantity, amount, currency, usage_date,
            posted_month, reason, actor, created_at)
        SELECT project_id, :kind, meter, quantity, amount, currency, :date, posted_month,
            CASE WHEN quantity > 0 THEN :more ELSE :less END
                || ' the seal of ' || CAST(:date AS date), :actor, :at
        FROM jsonb_populate_recordset(NULL::adjustments, CAST(:rows AS jsonb))
        RETURNING *)
    {audit_log.INSERT}
    SELECT :at, actor, 'adjust', 'project ' || project_id, NULL::jsonb, to_jsonb(posted) - 'created_at'
        || jsonb_build_object('posted_month', to_char(posted_month, 'YYYY-MM')), reason
    FROM posted ORDER BY id""")


@dataclass(frozen=True)
class Cause:
    """Why usage of a sealed day is posted: the adjustments' kind, actor and reason (by the sign)."""

    kind: str = "late_rows"
    actor: str = ACTOR
    more: str = "rows found after"
    less: str = "rows gone since"


def post(
    connection: Connection, day: Day, late: Sequence[LateRows], at: datetime, cause: Cause | None = None
) -> set[tuple[int, str]]:
    """Post usage of `day` that came after its seal; return project and meter of each adjustment.

    The projects' mutexes are held. A month that is history has no bill, and so no adjustment.
    """
    rows = list(_rows(connection, day, late, Month.of(at)))
    if rows:
        parameters = {"rows": json.dumps(rows), "date": day.date, "at": at}
        connection.execute(POST, parameters | asdict(cause or Cause()))
    return {(row["project_id"], row["meter"]) for row in rows}


def _rows(
    connection: Connection, day: Day, late: Sequence[LateRows], running: Month
) -> Iterator[dict[str, Any]]:
    month, ids = Month.of(day.start), sorted({one.project_id for one in late})
    billed = billed_month.load(connection, month, ids)
    is_open = set(connection.scalars(OPEN, {"ids": ids, "first": month.first.date}))
    rows = connection.execute(PAYING, {"ids": ids, "running": running.first.date})
    paying = {row.project_id: row.month for row in rows}
    for one in late:
        if one.project_id in billed:
            bill = billed[one.project_id]
            amount = str(bill.add(one.meter, one.quantity))
            yield one._asdict() | {
                "amount": amount,
                "currency": bill.currency,
                "posted_month": str(paying[one.project_id]),
            }
        elif one.project_id in is_open:
            yield one._asdict() | {"posted_month": str(month.first.date)}
