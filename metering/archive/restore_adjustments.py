"""Restore adjustments from an archive: only those of its month that its bills were sealed with."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import own_meters
from metering.catalogue.meters import COUNTER_NAMES
from metering.catalogue.own_meters import OwnMeter
from metering.catalogue.periods import Month
from metering.db import audit_log
from metering.errors import RestoreRefused
from metering.exports import csv_format, export_rows
from metering.exports.export_hash import Row
from metering.months.own_quantities import total

Adjustments = list[dict[str, Any]]

INSERT = text(f"""
    WITH given AS (SELECT * FROM jsonb_populate_recordset(NULL::adjustments, CAST(:rows AS jsonb))),
    made AS (INSERT INTO adjustments SELECT * FROM given ON CONFLICT DO NOTHING RETURNING *),
    logged AS (
        {audit_log.INSERT}
        SELECT CAST(:at AS timestamptz), CAST(:actor AS text), 'adjust', format('project %s', project_id),
            NULL::jsonb, to_jsonb(made) || jsonb_build_object(
                'posted_month', to_char(posted_month, 'YYYY-MM'), 'restored', true), reason
        FROM made)
    SELECT (SELECT count(*) FROM made) AS made, (
        SELECT jsonb_agg(g.project_id) FROM given g JOIN adjustments t USING (project_id, id)
        WHERE to_jsonb(t) <> to_jsonb(g)) AS differing""")
NUMBER_AFTER = text("""
    SELECT setval(pg_get_serial_sequence('adjustments', 'id'), greatest(
        (SELECT max(id) FROM adjustments), nextval(pg_get_serial_sequence('adjustments', 'id'))))""")


def restore(
    connection: Connection, month: Month, folder: Path, bills: Sequence[Row], actor: str, at: datetime
) -> int:
    """Insert the missing adjustments of `folder`; returns their number. The audit log names `actor`.

    Those of projects without a bill in the archive are left out: no seal says that they were posted.
    Raises RestoreRefused if one is of another month, if their sums are not those that the bills were
    sealed with, or if the database has another one in the place of one.
    """
    sealed = {int(bill["project_id"]): bill for bill in bills}
    try:
        rows = [row for row in _read(folder) if int(row["project_id"]) in sealed]
        _refuse_other_months(month, rows)
        _refuse_other_sums(folder, sealed, rows, own_meters.by_name(connection))
    except (KeyError, ValueError, TypeError, InvalidOperation) as error:
        raise RestoreRefused(f"{folder / 'adjustments.csv'} was rewritten ({error})") from error
    if not rows:
        return 0
    parameters = {"rows": json.dumps(rows), "actor": actor, "at": at}
    result = connection.execute(INSERT, parameters).one()
    if result.differing:
        raise RestoreRefused(f"project {result.differing[0]} has an adjustment that is not the archive's")
    if result.made:
        connection.execute(NUMBER_AFTER)
    return int(result.made)


def _read(folder: Path) -> Adjustments:
    export_only = ("organization_id", "organization_name", "project_name")
    with (folder / "adjustments.csv").open(encoding="utf-8", newline="") as stream:
        return [
            {name: cell or None for name, cell in row.items() if name not in export_only}
            for row in csv_format.read(stream)
        ]


def _refuse_other_months(month: Month, rows: Adjustments) -> None:
    for row in rows:
        if row["posted_month"] != str(month.first.date):
            raise RestoreRefused(
                f"adjustment {row['id']} of project {row['project_id']} was posted to {row['posted_month']}, "
                f"not to {month}; nothing was restored"
            )


def _refuse_other_sums(
    folder: Path, sealed: Mapping[int, Row], rows: Adjustments, own: Mapping[str, OwnMeter]
) -> None:
    """Refuse bills that are not the sum of their days and adjustments: usage by meter, and money."""
    largest = frozenset(name for name, meter in own.items() if meter.aggregation == "max")
    usage: dict[int, dict[str, list[int]]] = {project: {} for project in sealed}
    money: dict[int, Decimal] = dict.fromkeys(sealed, Decimal(0))
    reversed_ = {(row["project_id"], row["reverses"]) for row in rows if row["amount"] is None}
    for row in rows:
        project, meter = int(row["project_id"]), row["meter"]
        if row["amount"] is None:
            is_void = row["reverses"] or (row["project_id"], row["id"]) in reversed_
            if not (meter in largest and is_void):
                usage[project].setdefault(meter, []).append(int(row["quantity"]))
        elif row.get("currency") in (None, sealed[project]["currency"]):
            money[project] += Decimal(row["amount"])
    for day in export_rows.rows(folder / "days.csv"):
        for name, quantity in _quantities(day).items():
            if int(day["project_id"]) in usage:
                usage[int(day["project_id"])].setdefault(name, []).append(quantity)
    for project, bill in sealed.items():
        charge = Decimal(bill["adjustment_charge"])
        agrees = money[project].quantize(charge, ROUND_HALF_UP) == charge
        used = {name: total(name, largest, *quantities) for name, quantities in usage[project].items()}
        if not agrees or {name: used[name] for name in used if used[name]} != _quantities(bill):
            raise RestoreRefused(
                f"the adjustments of project {project} are not those that its bill was sealed with; "
                "nothing was restored"
            )


def _quantities(row: Row) -> dict[str, int]:
    """Return the usage in a row of days or bills, by meter, without zeros."""
    usage = {name: int(row.get(name) or 0) for name in COUNTER_NAMES} | json.loads(row.get("meters") or "{}")
    return {name: quantity for name, quantity in usage.items() if quantity}
