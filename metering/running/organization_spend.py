"""What the running month costs an organization: the spend of its projects, added up."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from metering.running.spend import Spend


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
    project_spends = list(spends)
    if all(one.projected is None for one in project_spends):
        return None
    amounts = (one.so_far if one.projected is None else one.projected for one in project_spends)
    return sum(amounts, Decimal(0))
