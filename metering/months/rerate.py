"""Rate every closed month again by its own plan version: the bills must be the same."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue.month_sql import first_of_month, is_in_month
from metering.catalogue.own_meters import LARGEST_NAMES
from metering.catalogue.periods import Month
from metering.db.transactions import chunks
from metering.errors import PlanError
from metering.exports.export_hash import canonical
from metering.months import proration, rated, stored_versions
from metering.pricing import month_versions
from metering.pricing.month_versions import MonthVersions
from metering.pricing.plans import PlanVersion
from metering.pricing.rating import Bill, Span

Difference = tuple[int, str, str, str, str]  # project, period, what, expected, found

VERSIONS = text("SELECT hash, content FROM plan_versions")
MONTHS = f"""
    SELECT year, month, array_agg(project_id ORDER BY project_id) AS ids FROM monthly_stats m
    WHERE {first_of_month()} >= {{kept_from}} OR EXISTS (
        SELECT FROM daily_stats d WHERE d.project_id = m.project_id
        AND {is_in_month("d.date", "m")})
    GROUP BY year, month ORDER BY year, month"""
BILLS = text(f"""
    SELECT m.*, averages.*, {LARGEST_NAMES} AS largest_meters FROM monthly_stats m
    CROSS JOIN LATERAL (SELECT {proration.AVERAGES} FROM daily_stats d
        WHERE d.project_id = m.project_id AND d.date BETWEEN :first AND :last) averages
    WHERE m.project_id = ANY(:ids) AND (m.year, m.month) = (:year, :month) ORDER BY m.project_id""")


def differences(connection: Connection, kept_from: str) -> Iterator[Difference]:
    """Yield the differences of a second rating, a chunk of projects of a month at a time.

    `kept_from`: SQL of the date from which days are kept; earlier months cannot be rated again, unless
    their days were restored.
    """
    versions: dict[str, PlanVersion] = {}
    for hash_, content in connection.execute(VERSIONS):
        try:
            versions[hash_] = PlanVersion.from_content(content)
        except PlanError as error:
            yield 0, "plan version", "content", "a plan", f"{hash_}: {error}"
            continue
        if versions[hash_].hash != hash_:
            yield 0, "plan version", "hash", versions[hash_].hash, hash_
    for year, number, ids in connection.execute(text(MONTHS.format(kept_from=kept_from))).all():
        for chunk in chunks(ids):
            yield from _of_month(connection, Month(year, number), chunk, versions)


def _of_month(
    connection: Connection, month: Month, ids: list[int], stored: dict[str, PlanVersion]
) -> Iterator[Difference]:
    by_versions: dict[Any, list[dict[str, Any]]] = {}
    bills = [dict(row) for row in connection.execute(BILLS, month.bounds() | {"ids": ids}).mappings()]
    for row in bills:
        lost = stored_versions.hashes_of(row) - stored.keys()
        if lost:
            yield row["project_id"], str(month), "plan_version", "a stored version", min(lost)
            continue
        by_versions.setdefault(month_versions.of_bill(row, stored).key, []).append(row)
    for rows in by_versions.values():
        versions = month_versions.of_bill(rows[0], stored)
        projects = [row["project_id"] for row in rows]
        spans = proration.spans(connection, month, projects, versions) if versions.last.prorate else {}
        for row in rows:
            yield from _of_bill(row, month, versions, spans.get(row["project_id"], []))


def _of_bill(
    row: dict[str, Any], month: Month, versions: MonthVersions, spans: list[Span]
) -> Iterator[Difference]:
    try:
        bill = rated.rate(row, spans, versions)
    except PlanError as error:
        yield row["project_id"], str(month), "tier", str(error), row["tier"]
        return
    for name, value, stored_value in of_bill(row, bill):
        yield row["project_id"], str(month), name, str(value), str(stored_value)


def of_bill(row: Mapping[str, Any], bill: Bill) -> Iterator[tuple[str, Any, Any]]:
    """Yield the differences of a monthly_stats `row` from `bill`: column, bill's value, row's value."""
    again = {
        "exceeded_limits": bill.exceeded,
        "overage_charge": bill.overage_charge,
        "plan_fee": bill.plan_fee,
    }
    for name, value in again.items():
        if _unordered(value) != _unordered(row[name]):
            yield name, value, row[name]


def _unordered(value: Any) -> Any:
    """Return the lines in an order of their own: the order of an old plan file is lost."""
    return sorted(map(canonical, value)) if isinstance(value, list) else value
