"""What the running month costs so far, and what it will cost if it goes on like this.

So far is the bill that the close would make of the days known now: one minute before the month ends, they
are the same. A projection adds usage to the days that are left, and the corrections after that.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.history import EVER_OWNED
from metering.catalogue.meters import COUNTER_NAMES, columns
from metering.catalogue.periods import Day, Month, utc
from metering.db.transactions import chunks
from metering.errors import PlanError
from metering.months import proration, rated
from metering.months.days_so_far import DAYS_SO_FAR
from metering.months.totals import totals
from metering.pricing.month_versions import MonthVersions, in_month
from metering.pricing.plans import Plans
from metering.pricing.rating import Span
from metering.running import projection

ASSUMPTION = (
    "usage in the rest of the month at its average rate so far, gauges at their level so far, tier and "
    "prices as of now, corrections as posted; nothing in a project's first 24 hours of the month"
)

# A project that left before the month gets a bill of it for the corrections posted to it, and for usage.
HAS_A_BILL = f"""(
    EXISTS (SELECT FROM adjustments x WHERE x.project_id = p.id AND x.posted_month = :first)
    OR EXISTS (SELECT FROM daily_stats d WHERE d.project_id = p.id AND d.date BETWEEN :first AND :last)
    OR EXISTS (SELECT FROM usage_hourly u WHERE u.project_id = p.id AND u.hour >= :start AND u.hour < :end
        AND (greatest({columns("u.{0}")}) > 0 OR u.meters <> '{{}}')))"""

# Hours of the month in which the project was metered until `:at`, and in which it will be.
PROJECTS = text(f"""
    SELECT p.id AS project_id, p.name AS project, hours.elapsed, hours.remaining
    FROM {platform.PROJECTS} p CROSS JOIN LATERAL {projection.METERED_HOURS} AS hours
    WHERE (CAST(:project AS bigint) IS NULL OR p.id = :project)
        AND (CAST(:ids AS bigint[]) IS NULL OR p.id = ANY(:ids))
        AND (CAST(:organization AS bigint) IS NULL OR {EVER_OWNED.format(organization=":organization")})
        AND p.id > :after AND p.created_at <= :at AND (hours.since < hours.until OR {HAS_A_BILL})
    ORDER BY p.id LIMIT :most""")
ORGANIZATIONS = text(f"SELECT id, name FROM {platform.ORGANIZATIONS} o WHERE id = ANY(:ids)")


@dataclass(frozen=True)
class Spend:
    """A project's running month in money: so far, and projected to its end; None where little is known.

    `overage` and `projected_overage`: their parts beyond what the plan includes.
    """

    project_id: int
    project: str
    organization_id: int
    organization: str
    tier: str
    so_far: Decimal
    projected: Decimal | None
    currency: str
    overage: Decimal
    projected_overage: Decimal | None


@dataclass(frozen=True)
class OrganizationSpend:
    """The sum of an organization's projects.

    `projected` counts a project without a projection by its charge so far, and is None if none has one.
    """

    organization_id: int
    organization: str
    projects: int
    so_far: Decimal
    projected: Decimal | None
    currency: str


def by_project(
    connection: Connection,
    plans: Plans,
    at: datetime,
    project_id: int | None = None,
    organization_id: int | None = None,
) -> list[Spend]:
    """Return the month that runs at `at`, by project; projected as ASSUMPTION says.

    A project whose tier is in no plan is left out: it has no price, and `unpriced` names it. One that left
    before the month and still gets a bill has no projection. Of an organization, the projects that it owns.
    """
    projects = _projects(connection, utc(at), project_id, organization_id)
    spends = [
        one
        for ids in chunks(list(projects))
        for one in _spends(connection, plans, utc(at), {number: projects[number] for number in ids})
    ]
    return [one for one in spends if organization_id in (None, one.organization_id)]


def of_projects(connection: Connection, plans: Plans, at: datetime, ids: Sequence[int]) -> list[Spend]:
    """Return the month that runs at `at`, of the projects `ids` only; as `by_project` does for all."""
    projects = _projects(connection, utc(at), ids=ids)
    return [
        spend
        for chunk in chunks(list(projects))
        for spend in _spends(connection, plans, utc(at), {number: projects[number] for number in chunk})
    ]


def overage(
    connection: Connection, plans: Plans, at: datetime, ids: Sequence[int]
) -> dict[tuple[int, str], Decimal]:
    """Return what each meter of the projects `ids` costs so far beyond its allowance, by project and meter.

    A project whose tier is in no plan is left out.
    """
    charges: dict[tuple[int, str], Decimal] = {}
    for row, spans, versions in _rated(connection, plans, utc(at), list(ids)):
        try:
            lines = rated.rate(row, spans, versions).lines
        except PlanError:
            continue
        for line in lines:
            key = (row["project_id"], line.meter)
            charges[key] = charges.get(key, Decimal(0)) + line.charge
    return charges


def page(
    connection: Connection, plans: Plans, at: datetime, after: int, most: int
) -> tuple[list[Spend], int | None]:
    """Return the spend of `most` projects with an id above `after`, and the last id; None at the end."""
    projects = _projects(connection, utc(at), after=after, most=most)
    spends = _spends(connection, plans, utc(at), projects)
    return spends, (max(projects) if len(projects) == most else None)


def unpriced(
    connection: Connection,
    plans: Plans,
    at: datetime,
    project_id: int | None = None,
    organization_id: int | None = None,
) -> list[dict[str, Any]]:
    """Return the active projects that `by_project` leaves out, with the tier that is in no plan."""
    known = list(plans.in_force(Month.of(at).last.date).tiers)
    rows = connection.execute(
        text(f"""
            SELECT p.id AS project_id, o.tier
            FROM {platform.PROJECTS} p JOIN organizations o ON o.id = p.organization_id
            WHERE p.is_active AND NOT o.tier = ANY(:known)
                AND (CAST(:project AS bigint) IS NULL OR p.id = :project)
                AND (CAST(:organization AS bigint) IS NULL OR p.organization_id = :organization)
            ORDER BY p.id"""),
        {"known": known, "project": project_id, "organization": organization_id},
    )
    return [dict(row) for row in rows.mappings()]


def by_organization(spends: Iterable[Spend]) -> list[OrganizationSpend]:
    """Return the projects added up by organization, in order of its id."""
    groups: dict[int, list[Spend]] = {}
    for spend in spends:
        groups.setdefault(spend.organization_id, []).append(spend)
    return [
        OrganizationSpend(
            organization,
            group[0].organization,
            len(group),
            sum((one.so_far for one in group), Decimal(0)),
            projected_sum(group),
            group[0].currency,
        )
        for organization, group in sorted(groups.items())
    ]


def projected_sum(spends: Iterable[Spend]) -> Decimal | None:
    """Return the projections added up; a project without one counts by its charge so far.

    None if no project has a projection.
    """
    known = list(spends)
    if all(one.projected is None for one in known):
        return None
    amounts = (one.so_far if one.projected is None else one.projected for one in known)
    return sum(amounts, Decimal(0))


def _projects(
    connection: Connection,
    at: datetime,
    project_id: int | None = None,
    organization_id: int | None = None,
    after: int = 0,
    most: int | None = None,
    ids: Sequence[int] | None = None,
) -> dict[int, dict[str, Any]]:
    """Return the projects that are metered in the month of `at`, by id: name, hours elapsed and remaining."""
    chosen: dict[str, Any] = {"project": project_id, "organization": organization_id, "after": after}
    chosen |= {"most": most, "ids": None if ids is None else list(ids)}
    parameters = Month.of(at).bounds() | {"at": at, "today": Day.of(at).date} | chosen
    rows = connection.execute(PROJECTS, parameters).mappings()
    return {row["project_id"]: dict(row) for row in rows}


def _spends(
    connection: Connection, plans: Plans, at: datetime, projects: Mapping[int, Mapping[str, Any]]
) -> list[Spend]:
    rows = _rated(connection, plans, at, list(projects))
    owners = sorted({row["organization_id"] for row, *_ in rows})
    names = {row.id: row.name for row in connection.execute(ORGANIZATIONS, {"ids": owners})}
    spends = (
        _spend(
            {**row, **projects[row["project_id"]], "organization": names.get(row["organization_id"], "")},
            spans,
            versions,
        )
        for row, spans, versions in rows
    )
    return [spend for spend in spends if spend is not None]


def _rated(
    connection: Connection, plans: Plans, at: datetime, ids: list[int]
) -> list[tuple[dict[str, Any], list[Span], MonthVersions]]:
    """Return what rates each project's month so far: its totals, the spans of its tiers, the versions."""
    month = Month.of(at)
    versions = in_month(plans, month)
    rows = totals(connection, month, ids, versions.last.currency, DAYS_SO_FAR, at)
    spans: dict[int, list[Span]] = {}
    if versions.last.prorate:
        spans = proration.spans(connection, month, ids, versions, DAYS_SO_FAR, at)
    return [(dict(row), spans.get(row["project_id"], []), versions) for row in rows]


def _spend(row: dict[str, Any], spans: Sequence[Span], versions: MonthVersions) -> Spend | None:
    """Return the spend of a project's totals, None if its tier is in no plan."""
    try:
        so_far, overage = _charge(row, spans, versions)
        is_early = row["elapsed"] < projection.LEAST_KNOWN
        projected, more = (None, None) if is_early else _projected(row, spans, versions)
    except PlanError:
        return None
    names = ("project_id", "project", "organization_id", "organization", "tier")
    own = {name: row[name] for name in names}
    money: dict[str, Any] = {"so_far": so_far, "projected": projected, "currency": versions.last.currency}
    return Spend(**own, **money, overage=overage, projected_overage=more)


def _charge(
    row: Mapping[str, Any], spans: Sequence[Span], versions: MonthVersions
) -> tuple[Decimal, Decimal]:
    """Return the charge, and its part beyond what the plan includes."""
    bill = rated.rate(row, spans, versions)
    return bill.total + rated.adjustment_charge(row, bill), bill.overage_charge


def _projected(
    row: Mapping[str, Any], spans: Sequence[Span], versions: MonthVersions
) -> tuple[Decimal, Decimal]:
    """Return the charge with the usage and the days that are left, at the last tier and version."""
    hours = row["elapsed"], row["remaining"]
    more: dict[str, Any] = {
        name: row[name] + projection.rest(row[f"counted_{name}"], *hours) for name in COUNTER_NAMES
    }
    sums = {name: used for name, used in row["counted_meters"].items() if name not in row["largest_meters"]}
    more["meters"] = row["meters"] | {
        name: row["meters"].get(name, 0) + projection.rest(used, *hours) for name, used in sums.items()
    }
    if spans:
        spans = projection.to_month_end(spans, row["remaining"])
    return _charge({**row, **more}, spans, versions)
