"""Check limits on a caller's own connection: the answers of LimitService, for every meter at once.

A counter whose source was never measured is unknown here, and not 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, TextClause, text

from metering.catalogue import own_meters, platform
from metering.catalogue.meters import METERS, Counter
from metering.catalogue.periods import Month, utc
from metering.errors import PlanError, UnknownProject
from metering.pricing.month_versions import in_month
from metering.pricing.plans import Plans, Tier
from metering.running import limits, shares, usage_in_month
from metering.running.limits import Limit
from metering.running.shares import Shares

NONE: Shares = {}

# What a check asks about -> the meter that it is about.
OF_PROJECT: Mapping[str, str] = {
    "device": "device_count",
    "storage": "storage_bytes",
    "mqtt_inbound": "mqtt_inbound",
    "mqtt_outbound": "mqtt_outbound",
    "ecr_image": "ecr_image_count",
}
OF_ORGANIZATION: Mapping[str, str] = {"project": "projects", "user": "users"}


@dataclass(frozen=True)
class Check:
    """The limit of a meter and the answer about it. `hard`: more is refused, and not charged."""

    meter: str
    hard: bool
    limit: Limit


_ORGANIZATION = text(f"""
    SELECT o.tier, (SELECT count(*) FROM {platform.PROJECTS} p
            WHERE p.organization_id = o.id AND p.is_active) AS projects,
        (SELECT count(*) FROM {platform.USERS} u WHERE u.organization_id = o.id) AS users
    FROM {platform.ORGANIZATIONS} o WHERE o.id = :organization""")


def of_project(
    connection: Connection,
    plans: Plans,
    project_id: int,
    at: datetime,
    meters: Sequence[str] | None = None,
    amount: int = 1,
) -> list[Check]:
    """Check `amount` more of each of `meters`, of every meter by default.

    Raises UnknownProject, PlanError.
    """
    meters = meters or (*METERS, *own_meters.by_name(connection))
    row = connection.execute(statement(tuple(meters)), bounds(project_id, at)).mappings().first()
    included = shares.of_projects(connection, in_month(plans, Month.of(at)), utc(at), [project_id])
    return answer(None if row is None else dict(row), plans, project_id, at, meters, amount, included)


def is_prorated(plans: Plans, at: datetime) -> bool:
    """Return whether an answer also needs the month's shares of the allowances (`shares`)."""
    return plans.in_force(Month.of(at).last.date).prorate


def bounds(project_id: int, at: datetime) -> dict[str, Any]:
    """Return the parameters of `statement`."""
    month = Month.of(at)
    return month.bounds() | {"after": month.next().first.date, "project": project_id}


def answer(
    row: Mapping[str, Any] | None,
    plans: Plans,
    project_id: int,
    at: datetime,
    meters: Sequence[str],
    amount: int,
    included: Shares = NONE,
) -> list[Check]:
    """Return the checks of a row of `statement`; `included`: see `shares`.

    Raises UnknownProject, PlanError.
    """
    if row is None:
        raise UnknownProject(f"there is no project {project_id}; see the platform's projects table")
    tier = _tier(plans, row["tier"], f"project {project_id}", at)
    parts = {meter: included.get((project_id, row["tier"], meter)) for meter in meters}
    return [_of_meter(tier, meter, row[meter], amount, parts[meter]) for meter in meters]


def of_organization(
    connection: Connection, plans: Plans, organization_id: int, at: datetime, amount: int = 1
) -> list[Check]:
    """Check `amount` more projects, and users.

    Raises UnknownOrganization, PlanError.
    """
    platform.require_organization(connection, organization_id)
    row = connection.execute(_ORGANIZATION, {"organization": organization_id}).one()
    tier = _tier(plans, row.tier, f"organization {organization_id}", at)
    limited = (("projects", row.projects, tier.projects), ("users", row.users, tier.users))
    return [
        Check(name, True, limits.answer(name, used, included, amount, hard=True))
        for name, used, included in limited
    ]


@cache
def statement(meters: tuple[str, ...]) -> TextClause:
    """Return the statement that reads the tier and the usage of `meters` of one project."""
    return text(sql(meters))


def sql(meters: tuple[str, ...]) -> str:
    """Return the SQL of `statement`."""
    used = ", ".join(f"{_used(meter)} AS {meter}" for meter in meters)
    return f"""
        SELECT o.tier, {used} FROM {platform.PROJECTS} p
        JOIN {platform.ORGANIZATIONS} o ON o.id = p.organization_id
        LEFT JOIN project_stats s ON s.project_id = p.id
        WHERE p.id = :project"""


def _used(name: str) -> str:
    if name not in METERS:
        return usage_in_month.OWN_IN_MONTH.format(meter=name)
    meter = METERS[name]
    if not isinstance(meter, Counter):
        return f"s.{meter.live}"
    in_month = usage_in_month.IN_MONTH.format(meter=name)
    # OFFSET 0: computed once, and not put into both places.
    return f"""(SELECT CASE WHEN s.{meter.source}_measured_at IS NULL THEN nullif(used, 0) ELSE used END
        FROM (SELECT {in_month} AS used OFFSET 0) counted)"""


def _tier(plans: Plans, name: str, whose: str, at: datetime) -> Tier:
    try:
        return plans.in_force(Month.of(at).last.date).tier(name)
    except PlanError as error:
        raise PlanError(f"{whose}: {error}") from error


def _of_meter(tier: Tier, meter: str, used: Any, amount: int, part: int | None) -> Check:
    allowance = tier.meters.get(meter)
    quantity = None if used is None else int(used)
    if allowance is None:
        return Check(meter, False, limits.answer(meter, quantity, None, amount, hard=False))
    limit = limits.of_allowance(meter, quantity, allowance, amount, part)
    return Check(meter, allowance.limit == "hard", limit)
