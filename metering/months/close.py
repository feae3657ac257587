"""Close a month: seal its days into one bill for each project, and subtract them from the counters.

A month's seal is the SHA-256 of, each on its own line: the seal of the project's month before
(an empty line for the first), the hashes of its days by date, and its canonical bill, which is every
column of its form, money as strings. docs/proof.md specifies the form.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import forms
from metering.catalogue.meters import columns
from metering.catalogue.month_sql import first_of_month, month_of_hour
from metering.catalogue.own_meters import LARGEST_NAMES, merged_sql
from metering.catalogue.periods import Day, Month, utc
from metering.catalogue.projects import IS_BILLED
from metering.days import expected_days
from metering.days.seal import seal_earlier, seal_through
from metering.db import canonical
from metering.db.tables import OWN_TABLES
from metering.errors import PeriodError, PlanError
from metering.months import blockers, proration, rated, sound_totals
from metering.months.owners import owners
from metering.months.totals import totals
from metering.pricing.month_versions import MonthVersions, in_month
from metering.pricing.plans import Plans
from metering.pricing.rating import Span

CANONICAL_BILL = canonical.in_own_form(OWN_TABLES["monthly_stats"], "b")

# The seal of the bill `b`, a row of monthly_stats, over the day hashes `days.hashes`, one a line and by date.
SEAL = f"""encode(sha256(convert_to(
    b.previous_seal || E'\\n' || coalesce(days.hashes || E'\\n', '') || {CANONICAL_BILL}, 'UTF8')), 'hex')"""


@dataclass
class CloseResult:
    """The result of a close: bills made, days sealed on the way, and the reasons of blocked projects."""

    closed: int = 0
    sealed: int = 0
    blocked: dict[int, str] = field(default_factory=dict)


_COLUMNS = ", ".join(forms.columns("monthly_stats", forms.NEWEST))
MONTH_OF_HOUR = month_of_hour("u.hour")

CLOSE = text(f"""
    WITH bills AS (
        SELECT {_COLUMNS} FROM jsonb_populate_recordset(NULL::monthly_stats, CAST(:bills AS jsonb))
    ), days AS (
        SELECT b.project_id, string_agg(row_hash, E'\\n' ORDER BY date) AS hashes,
            {columns("coalesce(sum(d.{0}), 0)::bigint AS {0}")}, {merged_sql("d.meters")} AS meters
        FROM bills b LEFT JOIN daily_stats d ON d.project_id = b.project_id
            AND d.date >= :first AND d.date <= :last
        GROUP BY b.project_id
    ), closed AS (
        INSERT INTO monthly_stats ({_COLUMNS}, seal)
        SELECT b.*, {SEAL} FROM bills b JOIN days USING (project_id) ORDER BY project_id
        RETURNING project_id, meters, {columns("{0}")}
    )
    UPDATE project_stats s SET updated_at = greatest(s.updated_at, :at),
        {columns("{0} = s.{0} - days.{0}, lifetime_{0} = s.lifetime_{0} + closed.{0}")},
        meters = CASE s.meters WHEN '{{}}' THEN s.meters
            ELSE fleetmeter_meters_less(s.meters, days.meters) END,
        lifetime_meters = CASE closed.meters WHEN '{{}}' THEN s.lifetime_meters
            ELSE fleetmeter_meters(ARRAY[s.lifetime_meters, closed.meters]) END
    FROM closed JOIN days USING (project_id) WHERE s.project_id = closed.project_id""")

# The largest of a month cannot be subtracted: the largest of the hours that are still open remains.
STILL_LARGEST = text(f"""
    UPDATE project_stats s SET meters = fleetmeter_meters(ARRAY[s.meters, o.meters]) FROM (
        SELECT u.project_id, fleetmeter_meters(array_agg(u.meters), 'max') AS meters FROM usage_hourly u
        WHERE u.project_id = ANY(:ids) AND u.meters ?| {LARGEST_NAMES}
            AND EXISTS (SELECT FROM own_meters WHERE aggregation = 'max')
            AND {IS_BILLED.format(project="u.project_id", month=MONTH_OF_HOUR)} AND NOT EXISTS (
                SELECT FROM monthly_stats m WHERE m.project_id = u.project_id
                AND {first_of_month("m")} = {MONTH_OF_HOUR})
        GROUP BY u.project_id) o
    WHERE s.project_id = o.project_id AND o.meters <> '{{}}'""")


def close_month(
    connection: Connection,
    month: Month,
    project_ids: Sequence[int],
    plans: Plans,
    at: datetime,
    closed_by: str,
) -> CloseResult:
    """Close `month` for those projects that nothing blocks; a second close changes nothing.

    First seals the month's missing days. The locks of the seal are held until the caller commits,
    so a message counted meanwhile waits and survives. Raises PeriodError while the month runs.
    """
    refuse_running(month, at)
    result = CloseResult(sealed=seal_missing(connection, month, project_ids, at))
    blockers.update_gaps(connection, month, project_ids, at)
    result.blocked = blockers.blocked(connection, month, project_ids)
    free = [project for project in project_ids if project not in result.blocked]
    versions = in_month(plans, month)
    bills: list[dict[str, Any]] = []
    spans = proration.spans(connection, month, free, versions) if versions.last.prorate else {}
    for row in totals(connection, month, free, versions.last.currency):
        unsound = sound_totals.why_unsound(row)
        if unsound is not None:
            result.blocked[row["project_id"]] = unsound
            continue
        try:
            bills.append(_bill(row, spans.get(row["project_id"], []), month, versions, closed_by))
        except PlanError as error:  # one project's tier must not stop the others
            result.blocked[row["project_id"]] = str(error)
    if bills:
        _add_owners(connection, month, bills)
        _store_versions(connection, versions)
        parameters = month.bounds() | {"bills": json.dumps(bills), "at": at}
        result.closed = connection.execute(CLOSE, parameters).rowcount
        connection.execute(STILL_LARGEST, {"ids": [bill["project_id"] for bill in bills]})
    return result


def seal_missing(connection: Connection, month: Month, project_ids: Sequence[int], at: datetime) -> int:
    """Seal the days of `month` that are not sealed yet, the ones before `open_from` included."""
    sealed = seal_through(connection, month.last, project_ids, at)
    ids = set(project_ids)
    missing: dict[Any, list[int]] = {}
    for day in expected_days.missing_days(connection, month.first, month.last, at):
        if day.project_id in ids:
            missing.setdefault(day.date, []).append(day.project_id)
    return sealed + sum(seal_earlier(connection, Day(date), missing[date], at) for date in sorted(missing))


def refuse_running(month: Month, at: datetime) -> None:
    """Refuse a `month` that is not over at `at`. Raises PeriodError."""
    if month.end > utc(at):
        raise PeriodError(f"{month} is not over at {at.isoformat()}; it can be closed after its last day")


def _bill(
    row: Mapping[str, Any], spans: Sequence[Span], month: Month, versions: MonthVersions, closed_by: str
) -> dict[str, Any]:
    bill = rated.rate(row, spans, versions)
    adjustment = rated.adjustment_charge(row, bill)
    helper_prefixes = ("avg_", "counted_", "largest_")
    own = {name: value for name, value in row.items() if not name.startswith(helper_prefixes)}
    return own | {
        "year": month.year,
        "month": month.month,
        "plan_version": versions.last.hash,
        "versions": versions.as_json(),
        "currency": versions.last.currency,
        "exceeded_limits": bill.exceeded,
        "overage_charge": str(bill.overage_charge),
        "plan_fee": str(bill.plan_fee),
        "adjustment_charge": str(adjustment),
        "total_charge": str(bill.total + adjustment),
        "closed_by": closed_by,
        "form": forms.NEWEST,
    }


def _add_owners(connection: Connection, month: Month, bills: list[dict[str, Any]]) -> None:
    """Name the owners in bills with days of other organizations than the billed one."""
    divided = [bill["project_id"] for bill in bills if bill.pop("is_divided")]
    by_project = owners(connection, month, divided) if divided else {}
    for bill in bills:
        bill["owners"] = by_project.get(bill["project_id"], [])


def _store_versions(connection: Connection, versions: MonthVersions) -> None:
    connection.execute(
        text("""
            INSERT INTO plan_versions (hash, content) VALUES (:hash, CAST(:content AS jsonb))
            ON CONFLICT DO NOTHING"""),
        [
            {"hash": version.hash, "content": json.dumps(version.content())}
            for version in {version.hash: version for _, version in versions.parts}.values()
        ],
    )
