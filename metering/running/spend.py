"""What the running month costs so far, and what it will cost if it goes on like this, by project.

How one project's month is rated and projected: `month_charge`; sums of several: `organization_spend`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.history import EVER_OWNED
from metering.catalogue.meters import columns
from metering.catalogue.periods import Day, Month, utc
from metering.db.transactions import chunks
from metering.errors import PlanError
from metering.pricing.plans import Plans
from metering.running import month_charge, projection
from metering.running.month_charge import MonthSoFar

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
    for month in month_charge.of_projects(connection, plans, utc(at), ids):
        try:
            lines = month.bill().lines
        except PlanError:
            continue
        for line in lines:
            key = (month.totals["project_id"], line.meter)
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
    tiers = list(plans.in_force(Month.of(at).last.date).tiers)
    rows = connection.execute(
        text(f"""
            SELECT p.id AS project_id, o.tier
            FROM {platform.PROJECTS} p JOIN {platform.ORGANIZATIONS} o ON o.id = p.organization_id
            WHERE p.is_active AND NOT o.tier = ANY(:known)
                AND (CAST(:project AS bigint) IS NULL OR p.id = :project)
                AND (CAST(:organization AS bigint) IS NULL OR p.organization_id = :organization)
            ORDER BY p.id"""),
        {"known": tiers, "project": project_id, "organization": organization_id},
    )
    return [dict(row) for row in rows.mappings()]


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
    selection: dict[str, Any] = {"project": project_id, "organization": organization_id, "after": after}
    selection |= {"most": most, "ids": None if ids is None else list(ids)}
    parameters = Month.of(at).bounds() | {"at": at, "today": Day.of(at).date} | selection
    rows = connection.execute(PROJECTS, parameters).mappings()
    return {row["project_id"]: dict(row) for row in rows}


def _spends(
    connection: Connection, plans: Plans, at: datetime, projects: Mapping[int, Mapping[str, Any]]
) -> list[Spend]:
    months = month_charge.of_projects(connection, plans, at, list(projects))
    owners = sorted({month.totals["organization_id"] for month in months})
    names = {row.id: row.name for row in connection.execute(ORGANIZATIONS, {"ids": owners})}
    spends = (_spend(month, projects[month.totals["project_id"]], names) for month in months)
    return [spend for spend in spends if spend is not None]


def _spend(month: MonthSoFar, project: Mapping[str, Any], names: Mapping[int, str]) -> Spend | None:
    """Return the spend of a project, None if its tier is in no plan; `names` of organizations."""
    try:
        so_far = month.charge()
        projected = month.projected(project["elapsed"], project["remaining"])
    except PlanError:
        return None
    owner = month.totals["organization_id"]
    return Spend(
        project["project_id"],
        project["project"],
        owner,
        names.get(owner, ""),
        month.totals["tier"],
        so_far.total,
        None if projected is None else projected.total,
        month.versions.last.currency,
        so_far.overage,
        None if projected is None else projected.overage,
    )
