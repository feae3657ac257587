"""Allowances of the running month where the plan prorates: the shares that the close will use.

A project that is metered for a part of the month has that part of its allowance. Where tier or prices
changed in the month, each part rates its own usage: what was used before is then added to the share of the
last one, so that use beyond the sum is use beyond the share.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.periods import Day, Month
from metering.catalogue.projects import INSTALLED_AT
from metering.db.transactions import chunks
from metering.months import proration
from metering.months.days_so_far import DAYS_SO_FAR
from metering.pricing import rating
from metering.pricing.month_versions import MonthVersions
from metering.pricing.plans import PlanVersion
from metering.pricing.rating import Span
from metering.running import projection

Shares = Mapping[tuple[int, str, str], int]  # project id, tier, meter -> units
MOST = 2**63 - 1

# Projects whose month may have a day less than the calendar's, or more than one tier. Others have it all.
_IN_PART = text(f"""
    SELECT p.id, hours.remaining FROM {platform.PROJECTS} p
    CROSS JOIN LATERAL {projection.METERED_HOURS} hours
    WHERE (CAST(:ids AS bigint[]) IS NULL OR p.id = ANY(:ids)) AND p.created_at <= :at AND (:each
        OR p.created_at >= :start OR hours.until < :end OR {INSTALLED_AT} >= :start
        OR EXISTS (SELECT FROM project_pauses x WHERE x.project_id = p.id
            AND coalesce(x.off_until, 'infinity') > :first)
        OR EXISTS (SELECT FROM project_owners w WHERE w.project_id = p.id AND w.read_from >= :start)
        OR EXISTS (SELECT FROM organization_tiers t WHERE t.organization_id = p.organization_id
            AND t.read_from >= :start))""")


def of_projects(
    connection: Connection,
    versions: MonthVersions,
    at: datetime,
    ids: Sequence[int] | None = None,
) -> Shares:
    """Return the allowances of the month of `at` that may be less than the plan's.

    Of the projects `ids`, or of every one. Without proration there is none.
    """
    month = Month.of(at)
    if not versions.last.prorate:
        return {}
    parameters: dict[str, Any] = month.bounds() | {"at": at, "today": Day.of(at).date}
    parameters |= {"ids": None if ids is None else list(ids), "each": len(versions.parts) > 1}
    most = _hours(versions, at)
    remaining = {row.id: min(row.remaining, most) for row in connection.execute(_IN_PART, parameters)}
    shares: dict[tuple[int, str, str], int] = {}
    for chunk in chunks(sorted(remaining)):
        spans = proration.spans(connection, month, chunk, versions, DAYS_SO_FAR, at)
        for project, of_project in spans.items():
            shares |= _of_project(project, of_project, remaining[project], versions.last)
    return shares


def _hours(versions: MonthVersions, at: datetime) -> Decimal:
    """Return the hours from `at` to the end of the version that rates its day."""
    today = Day.of(at).date
    end = next((Day(first).start for first in versions.starts if first > today), Month.of(at).end)
    return Decimal((end - at).total_seconds()) / 3600


def _of_project(
    project: int, spans: Sequence[Span], remaining: Decimal, version: PlanVersion
) -> dict[tuple[int, str, str], int]:
    *earlier, last = projection.to_month_end(spans, remaining)
    tier = (last.version or version).tiers.get(last.tier)
    shares: dict[tuple[int, str, str], int] = {}
    for meter, allowance in ({} if tier is None else tier.meters).items():
        if last.is_counted(meter):
            used = sum(int(span.totals.get(meter) or 0) for span in earlier)
            shares[project, last.tier, meter] = min(used + rating.included(allowance, meter, last), MOST)
    return shares
