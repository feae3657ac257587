"""The plan versions of a month: the one at its end, and with proration each earlier one on its own days.

A version in another currency cannot add to the same bill: its days are rated by the version at the
month's end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from metering.catalogue.periods import Month
from metering.pricing.plans import Plans, PlanVersion


@dataclass(frozen=True)
class MonthVersions:
    """Versions by their first day in the month, in order: each rates until the next one's first day."""

    parts: tuple[tuple[date, PlanVersion], ...]

    @property
    def last(self) -> PlanVersion:
        """Return the version at the month's end, which gives the bill its currency."""
        return self.parts[-1][1]

    @property
    def key(self) -> tuple[tuple[date, str], ...]:
        """Return a key of these versions: their first days and hashes."""
        return tuple((first, version.hash) for first, version in self.parts)

    @property
    def starts(self) -> list[date]:
        """Return the first day of each version but the first one."""
        return [first for first, _ in self.parts[1:]]

    def on(self, day: date) -> PlanVersion:
        """Return the version that rates `day`."""
        return [version for first, version in self.parts if first <= day][-1]

    def as_json(self) -> list[dict[str, str]]:
        """Return the parts as monthly_stats.versions keeps them; nothing for a month of one version."""
        if len(self.parts) == 1:
            return []
        return [{"plan_version": version.hash, "from": str(first)} for first, version in self.parts]


def in_month(plans: Plans, month: Month) -> MonthVersions:
    """Return the versions that rate `month`."""
    last = plans.in_force(month.last.date)
    if not last.prorate:
        return MonthVersions(((month.first.date, last),))
    changes = {version.effective for version in plans.versions}
    firsts = sorted(
        {month.first.date, *(day for day in changes if month.first.date < day <= month.last.date)}
    )
    parts: list[tuple[date, PlanVersion]] = []
    for first in firsts:
        version = plans.in_force(first)
        version = version if version.currency == last.currency else last
        if not parts or parts[-1][1] != version:
            parts.append((first, version))
    return MonthVersions(tuple(parts))


def of_bill(bill: Mapping[str, Any], stored: Mapping[str, PlanVersion]) -> MonthVersions:
    """Return the versions that rated a monthly_stats row. Raises KeyError for one that is not in `stored`."""
    parts: Sequence[Mapping[str, str]] = bill["versions"]
    if not parts:
        return MonthVersions(((date(bill["year"], bill["month"], 1), stored[bill["plan_version"]]),))
    return MonthVersions(
        tuple((date.fromisoformat(part["from"]), stored[part["plan_version"]]) for part in parts)
    )
