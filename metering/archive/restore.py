"""Restore an archived month: insert the missing rows; rows in the database must be the same.

For days that retention removed, and for a database that was lost. Hours are in no archive: a month
that comes back to an empty database has none, and the audit log says so. Nothing is ever overwritten.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Table, text

from metering.archive import files, records, restore_adjustments, restore_checks
from metering.catalogue import forms, platform, projects
from metering.catalogue.forms import Sealed
from metering.catalogue.periods import Month
from metering.db import audit_log
from metering.db.tables import OWN_TABLES
from metering.errors import RestoreRefused
from metering.exports import export_rows
from metering.exports.export_hash import form_of, sealed
from metering.ledger.partitions import ensure_partition
from metering.pricing.plans import PlanVersion
from metering.proof import offline

BATCH = 1_000


@dataclass
class RestoredRows:
    """Rows that were missing and are back."""

    bills: int = 0
    days: int = 0
    adjustments: int = 0


def restore_rows(
    connection: Connection, month: Month, folder: Path, actor: str, at: datetime
) -> RestoredRows:
    """Insert the missing rows of the archived `month` in `folder`; a second time it changes nothing.

    The caller commits. Raises RestoreRefused if the files do not verify, if rows in the database differ
    from them, or if the month does not fit into the database; FleetmeterError if the files are not those
    that were archived.
    """
    for name in files.REQUIRED:
        files.refuse_link(folder / name)
    bills = list(export_rows.rows(folder / "bills.csv"))
    _refuse_broken(month, bills, folder)
    _refuse_changed(connection, month, folder)
    ids = sorted(int(row["project_id"]) for row in bills)
    _refuse_unknown(connection, ids)
    _plan_versions(connection, folder)
    ensure_partition(connection, month)
    restored = RestoredRows()
    restored.days = _insert(
        connection, DAYS, ("row_hash", "created_at"), export_rows.rows(folder / "days.csv")
    )
    restored.adjustments = restore_adjustments.restore(connection, month, folder, bills, actor, at)
    if _bills(connection, month, ids) < len(ids):  # only then is anything touched that a counter writes
        projects.ensure(connection, ids, at, since=month.start)
        projects.lock(connection, ids)
        restored.bills = _insert(connection, BILLS, ("seal", "created_at"), bills)
        restore_checks.fit_in(connection, month, ids)
    restore_checks.refuse_different(connection, month, ids)
    if restored != RestoredRows():
        after = vars(restored) | {"folder": folder.name}
        audit_log.record(connection, actor, "restore", str(month), after=after)
    return restored


def _refuse_broken(month: Month, bills: list[dict[str, str]], folder: Path) -> None:
    _, discrepancies = offline.verify([folder])
    if discrepancies:
        raise RestoreRefused(
            f"the archive in {folder} does not verify: {discrepancies[0]}; nothing was restored"
        )
    other = {(row["year"], row["month"]) for row in bills} - {(str(month.year), str(month.month))}
    if other:
        year, number = other.pop()
        raise RestoreRefused(f"the archive in {folder} is of {year}-{int(number):02d}, not of {month}")


def _refuse_changed(connection: Connection, month: Month, folder: Path) -> None:
    """Refuse files that are not in the archive's manifest, or in one that the audit log noted."""
    noted = records.noted_manifests(connection, month)
    if noted or (folder / files.MANIFEST).exists():
        files.check_files(folder, files.read_manifest(folder, month, noted), files.REQUIRED)


def _refuse_unknown(connection: Connection, ids: list[int]) -> None:
    query = text(f"""
        SELECT id FROM unnest(CAST(:ids AS bigint[])) AS given (id)
        WHERE NOT EXISTS (SELECT FROM {platform.PROJECTS} p WHERE p.id = given.id) ORDER BY id LIMIT 5""")
    unknown = connection.scalars(query, {"ids": ids}).all()
    if unknown:
        named = ", ".join(map(str, unknown))
        raise RestoreRefused(f"the platform has no project {named}; restore its projects table first")


def _bills(connection: Connection, month: Month, ids: list[int]) -> int:
    query = text("""
        SELECT count(*) FROM monthly_stats
        WHERE (year, month) = (:year, :month) AND project_id = ANY(:ids)""")
    return connection.scalar(query, month.bounds() | {"ids": ids}) or 0


def _plan_versions(connection: Connection, folder: Path) -> None:
    for hash_, content in json.loads((folder / "plans.json").read_text("utf-8")).items():
        if PlanVersion.from_content(content).hash != hash_:
            raise RestoreRefused(f"plan version {hash_} in {folder} is not what its hash says")
        connection.execute(
            text("""INSERT INTO plan_versions (hash, content) VALUES (:hash, CAST(:content AS jsonb))
                ON CONFLICT DO NOTHING"""),
            {"hash": hash_, "content": json.dumps(content)},
        )


def _insert_sql(table: str, key: str, hashed: str) -> str:
    """Return SQL that inserts and counts the missing rows of `:rows`; a row that differs raises."""
    return f"""
        WITH given AS (SELECT * FROM jsonb_populate_recordset(NULL::{table}, CAST(:rows AS jsonb))),
        made AS (INSERT INTO {table} SELECT * FROM given ON CONFLICT DO NOTHING RETURNING 1)
        SELECT (SELECT count(*) FROM made) AS made, (
            SELECT jsonb_agg(g.project_id) FROM given g JOIN {table} t USING ({key})
            WHERE t.{hashed} <> g.{hashed}) AS differing"""


DAYS = text(_insert_sql("daily_stats", "project_id, date", "row_hash"))
BILLS = text(_insert_sql("monthly_stats", "project_id, year, month", "seal"))


def _insert(
    connection: Connection, statement: Any, unhashed: tuple[str, ...], rows: Iterable[Mapping[str, str]]
) -> int:
    inserted, remaining = 0, iter(rows)
    while batch := list(islice(remaining, BATCH)):
        values = [_values(row, unhashed) for row in batch]
        result = connection.execute(statement, {"rows": json.dumps(values)}).one()
        if result.differing:
            raise RestoreRefused(
                f"project {result.differing[0]} has rows of that month that are not the archive's; "
                "fleetmeter verify says which, and nothing was restored"
            )
        inserted += result.made
    return inserted


def _values(row: Mapping[str, str], unhashed: tuple[str, ...]) -> dict[str, Any]:
    """Return the columns of the row; columns of later forms are empty, as in the database."""
    table = OWN_TABLES["monthly_stats" if "seal" in row else "daily_stats"]
    later = forms.columns_after(cast(Sealed, table.name), form_of(row))
    return (
        {name: _empty(table, name) for name in later} | sealed(row) | {name: row[name] for name in unhashed}
    )


def _empty(table: Table, name: str) -> Any:
    default = cast(Any, table.c[name].server_default)
    return None if default is None else json.loads(str(default.arg).strip("'"))
