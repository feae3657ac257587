"""What the running month costs so far, and what it will cost if it goes on like this."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.meters import COUNTER_NAMES, GAUGES, columns
from metering.catalogue.periods import Month, utc
from metering.catalogue.projects import METERED_FROM, METERED_UNTIL
from metering.errors import PlanError
from metering.months import proration
from metering.pricing import rating
from metering.pricing.plans import Plans, PlanVersion
from metering.pricing.rating import Bill

ASSUMPTION = (
    "the rest of the month like its hours so far, gauges at their highest level so far, "
    "the whole month at the tier of now"
)

_HOURS = columns("coalesce(d.{0}, 0) + coalesce(h.{0}, 0) + coalesce(a.{0}, 0)::bigint AS {0}")
_ADJUSTED = columns("sum(quantity) FILTER (WHERE meter = '{0}' AND amount IS NULL) AS {0}")
_LEVELS = ", ".join(
    f"greatest(d.peak_{gauge.name}, s.{gauge.live}) AS peak_{gauge.name}, "
    f"coalesce(d.avg_{gauge.name}, s.{gauge.live}) AS avg_{gauge.name}"
    for gauge in GAUGES
)

# Sealed days of the month, its hours that are not sealed yet, and what was posted to it. `elapsed`
# and `length` are the hours of the month in which the project was and will be metered.
USAGE = text(f"""
    SELECT p.id AS project_id, p.name AS project, p.organization_id, o.name AS organization, o.tier,
        {_HOURS}, {_LEVELS}, a.amounts,
        extract(epoch FROM least(:at, bounds.until) - bounds.since) / 3600 AS elapsed,
        extract(epoch FROM bounds.until - bounds.since) / 3600 AS length
    FROM {platform.PROJECTS} p JOIN organizations o ON o.id = p.organization_id
    LEFT JOIN project_stats s ON s.project_id = p.id
    CROSS JOIN LATERAL (SELECT greatest(:start, {METERED_FROM}) AS since,
        least(:end, {METERED_UNTIL}) AS until) bounds
    LEFT JOIN LATERAL (
        SELECT {columns("sum({0}) AS {0}")}, {proration.PEAKS}, {proration.AVERAGES} FROM daily_stats x
        WHERE x.project_id = p.id AND x.date >= :first AND x.date <= :last) d ON true
    LEFT JOIN LATERAL (
        SELECT {columns("sum({0}) AS {0}")} FROM usage_hourly u WHERE u.project_id = p.id
        AND u.hour >= greatest(s.open_from, :start) AND u.hour < :end) h ON true
    LEFT JOIN LATERAL (
        SELECT jsonb_object_agg(coalesce(currency, ''), amount) FILTER (WHERE amount IS NOT NULL) AS amounts,
            {columns("sum({0}) AS {0}")}
        FROM (SELECT currency, sum(amount)::text AS amount, {_ADJUSTED} FROM adjustments x
            WHERE x.project_id = p.id AND x.posted_month = :first GROUP BY currency) c) a ON true
    WHERE (CAST(:project AS bigint) IS NULL OR p.id = :project)
        AND (CAST(:organization AS bigint) IS NULL OR p.organization_id = :organization)
        AND p.id > :after AND bounds.since < least(:at, bounds.until)
    ORDER BY p.id LIMIT :most""")


@dataclass(frozen=True)
class Spend:
    """A project's running month in money: charged so far, and projected to the month's end."""

    project_id: int
    project: str
    organization_id: int
    organization: str
    tier: str
    so_far: Decimal
    projected: Decimal
    currency: str


@dataclass(frozen=True)
class OrganizationSpend:
    """The sum of an organization's projects."""

    organization_id: int
    organization: str
    projects: int
    so_far: Decimal
    projected: Decimal
    currency: str


def by_project(
    connection: Connection,
    plans: Plans,
    at: datetime,
    project_id: int | None = None,
    organization_id: int | None = None,
) -> list[Spend]:
    """The month that runs at `at`, by project; projected as ASSUMPTION says.

    A project whose tier is in no plan is left out: it has no price, and `unpriced` names it.
    """
    return priced(usage(connection, at, project_id, organization_id), plans, at)


def priced(rows: Iterable[dict[str, Any]], plans: Plans, at: datetime) -> list[Spend]:
    """What rows of `usage` cost in the month that runs at `at`; those without a price are left out."""
    version = plans.in_force(Month.of(at).last.date)
    found = (_spend(row, version) for row in rows)
    return [spend for spend in found if spend is not None]


def unpriced(
    connection: Connection, plans: Plans, at: datetime, project_id: int | None = None
) -> list[dict[str, Any]]:
    """Active projects that `by_project` leaves out, with the tier that is in no plan."""
    known = list(plans.in_force(Month.of(at).last.date).tiers)
    rows = connection.execute(
        text(f"""
            SELECT p.id AS project_id, o.tier
            FROM {platform.PROJECTS} p JOIN organizations o ON o.id = p.organization_id
            WHERE p.is_active AND NOT o.tier = ANY(:known)
                AND (CAST(:project AS bigint) IS NULL OR p.id = :project) ORDER BY p.id"""),
        {"known": known, "project": project_id},
    )
    return [dict(row) for row in rows.mappings()]


def by_organization(spends: Iterable[Spend]) -> list[OrganizationSpend]:
    """Projects added up by organization, in order of its id."""
    sums: dict[int, OrganizationSpend] = {}
    for spend in spends:
        key = spend.organization_id
        zero = OrganizationSpend(key, spend.organization, 0, Decimal(0), Decimal(0), spend.currency)
        held = sums.get(key, zero)
        sums[key] = OrganizationSpend(
            key,
            held.organization,
            held.projects + 1,
            held.so_far + spend.so_far,
            held.projected + spend.projected,
            held.currency,
        )
    return [sums[key] for key in sorted(sums)]


def usage(
    connection: Connection,
    at: datetime,
    project_id: int | None = None,
    organization_id: int | None = None,
    after: int = 0,
    most: int | None = None,
) -> list[dict[str, Any]]:
    """Counters, `peak_` and `avg_` gauges of the month that runs at `at`, a row for each project.

    By id; at most `most` of them, with an id above `after`.
    """
    at = utc(at)
    month = Month.of(at)
    chosen = {"project": project_id, "organization": organization_id, "after": after, "most": most}
    rows = connection.execute(USAGE, month.bounds() | {"at": at} | chosen)
    return [dict(row) for row in rows.mappings()]


def rated(row: Mapping[str, Any], version: PlanVersion) -> Bill:
    """The bill that a row of `usage` makes by the tier of now. Raises PlanError."""
    return rating.rate_spans(version, [proration.span_of(row, row["tier"])])


def _spend(row: dict[str, Any], version: PlanVersion) -> Spend | None:
    share = row["length"] / row["elapsed"]
    projected = row | {name: int(row[name] * share) for name in COUNTER_NAMES}
    try:
        totals = [_total(rated(usage, version), row, version.currency) for usage in (row, projected)]
    except PlanError:
        return None
    own = {name: row[name] for name in ("project_id", "project", "organization_id", "organization", "tier")}
    return Spend(**own, so_far=totals[0], projected=totals[1], currency=version.currency)


def _total(bill: Bill, row: Mapping[str, Any], currency: str) -> Decimal:
    amounts = row["amounts"] or {}
    adjusted = sum((Decimal(amounts.get(name, 0)) for name in ("", currency)), Decimal(0))
    return bill.total + adjusted.quantize(bill.plan_fee, ROUND_HALF_UP)  # as a close does
