"""Read both periods of a question and its contributions, with names for the groups."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from console.data.changes import amounts, contributions, devices
from console.data.changes.amounts import Presence
from console.data.changes.contributions import Comparison, Contribution
from console.data.explore import names
from console.ui import escape
from console.views.changes.question import ChangeQuestion


@dataclass(frozen=True)
class ChangeData:
    """A change as of `at` (UTC), in that currency if it is money, with the names of its groups."""

    at: datetime
    comparison: Comparison
    organizations: dict[int, str]
    projects: dict[int, Presence]
    meters: dict[str, str]
    currency: str = ""
    left_out: tuple[str, ...] = ()  # other currencies

    def label(self, dimension: str, part: Contribution) -> str:
        """Return the label of a group; labels of organizations and projects end with their ids."""
        if dimension == "organization":
            return f"{escape.short(self.organizations.get(part.key, 'Organization'), 40)} · {part.key}"
        if dimension == "project":
            return self.project(part.key)
        if dimension == "device":
            return "other devices" if part.key == devices.OTHER else escape.short(part.key, 60)
        return self.meters[part.key] if dimension == "meter" else str(part.key)

    def project(self, project: int) -> str:
        """Return the label of a project; a project out of scope has no name."""
        there = self.projects.get(project)
        return escape.project(project, there.name if there else "Project")


def read(connection: Connection, question: ChangeQuestion, at: datetime) -> ChangeData:
    """Answer the question at `at`, in UTC."""
    filters = question.state.filters
    present = amounts.presence(connection, filters.projects)
    currency, others, zero = "", (), 0
    ranges = question.before, question.after
    if question.is_money:
        currencies = amounts.currencies(connection, question.before[0], question.after[1]) or [""]
        currency, *rest = currencies
        others, zero = tuple(rest), Decimal(0)  # type: ignore[assignment]
        used = [
            amounts.money(connection, question.measures, *days, currency, filters.projects) for days in ranges
        ]
    else:
        used = [
            amounts.read(connection, question.measures, *days, at.date(), filters.projects) for days in ranges
        ]
    expected: Any = ranges
    if question.measures[0].kind == "gauge":  # a level is of the last day
        expected = tuple((last, last) for _, last in ranges)
    comparison = contributions.compare(
        (used[0], used[1]), present, expected, question.state.meters, filters, zero
    )
    if question.by == "device":
        comparison = devices.with_devices(connection, comparison, filters.projects[0], ranges)
    own = [part.key for part in comparison.by["organization"]]
    named = {one.project for one in comparison.incomparable} | {part.key for part in comparison.by["project"]}
    return ChangeData(
        at,
        comparison,
        names.organizations(connection, own),
        {project: there for project, there in present.items() if project in named},
        {measure.name: measure.label for measure in question.measures},
        currency,
        others,
    )
