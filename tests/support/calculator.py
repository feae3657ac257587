"""Compute bills from the list of what a test did, without the product's code or SQL.

A step is a dictionary with `at` (aware, UTC) and `do`: `tier`, `move`, `off`, `on`, `messages`, `rows`,
`adjust`, `hourly`, `daily` or `monthly`. Rules 2 to 5, 10 and 11 of the design, day by day.
"""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

Step = dict[str, Any]
ROWS, DAY = ("logs", "api_calls"), timedelta(days=1)


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def first_of(day: date) -> date:
    return day.replace(day=1)


def cents(amount: Fraction) -> Decimal:
    return (Decimal(amount.numerator) / amount.denominator).quantize(Decimal("0.01"), ROUND_HALF_UP)


def last_known(readings: list[Any], last: date) -> Any:
    """Return the last value read on `last` or earlier; else the first value ever read."""
    return ([value for at, value in readings if at.date() <= last] or [readings[0][1]])[-1]


class Project:
    """What happened to one project; `bills`: month -> (organization, total)."""

    def __init__(self, owner: int, created: date) -> None:
        self.owner, self.created, self.next_day = owner, created, created
        self.off: Step = {}
        self.owners, self.absences = list[Any](), list[list[Any]]()  # absences: [off from, on again or None]
        self.messages: dict[date, int] = defaultdict(int)
        self.rows, self.corrections = list[Step](), list[Step]()
        self.days: dict[date, Step] = {}
        self.rated: dict[date, Decimal] = {}
        self.bills: dict[date, tuple[int, Decimal]] = {}

    def away(self) -> list[Any]:
        return self.absences[-1] if self.absences and self.absences[-1][1] is None else []

    def count(self, at: datetime, messages: int) -> None:
        since = self.away()[0] if self.away() else self.off.get("dated") and self.off["at"]
        if not (self.off and since and since <= midnight(at.date())):
            self.messages[max(at.date(), self.next_day)] += messages

    def read(self, at: datetime) -> None:
        self.owners.append((at, self.owner))
        if self.off and not self.away():
            self.absences.append([self.off["at"] if self.off["dated"] else at, None])
        elif self.away() and not self.off:
            self.away()[1] = at

    def was_on(self, day: date) -> bool:
        start, end = midnight(day), midnight(day + DAY)
        absent = any(off <= start and (on is None or on >= end) for off, on in self.absences)
        return self.created <= day and not absent

    def counted_rows(self, day: date) -> dict[str, int]:
        rows = [row for row in self.rows if row["created_at"].date() == day and self.was_on(day)]
        return {meter: sum(row["count"] for row in rows if row["meter"] == meter) for meter in ROWS}

    def seal(self, last: date, at: datetime, tiers: dict[int, list[Any]]) -> None:
        while (day := self.next_day) <= last:
            counts = {"mqtt_inbound": self.messages[day]} | self.counted_rows(day)
            if self.was_on(day) or any(counts.values()):
                tier = last_known(tiers[last_known(self.owners, day)], day)
                self.days[day] = {"tier": tier, "counts": counts, "sealed": at, "recounted": False}
            self.next_day += DAY

    def correct(self, step: Step, calculator: "Calculator") -> None:
        """Post a quantity about an open month to it, about a closed one as money; an amount as it is."""
        month, running = first_of(step["day"]), first_of(step["at"].date())
        about = [c for c in self.corrections if c["meter"] and first_of(c["day"]) == month]
        closed = month in self.rated
        correction = {"amount": Decimal(0)} | {
            name: value for name, value in step.items() if value is not None
        }
        self.corrections.append({"meter": None} | correction | {"posted": running if closed else month})
        if closed and step["meter"]:
            worth = calculator.rate(self, month) - self.rated[month]
            self.corrections[-1]["amount"] = worth - sum(c["amount"] for c in about)


class Calculator:
    """Plays the steps of a history; `plans` are versions with tiers of meters (included, price, size)."""

    def __init__(self, plans: list[Step], prorate: bool, tiers: dict[int, str], projects: dict[int, Project]):
        self.plans, self.prorate, self.tiers, self.projects = plans, prorate, tiers, projects
        self.readings: dict[int, list[Any]] = defaultdict(list)  # of tiers

    def play(self, step: Step) -> None:
        project, at = self.projects.get(step.get("project", 0), Project(0, date.max)), step["at"]
        match step["do"]:
            case "tier":
                self.tiers[step["organization"]] = step["tier"]
            case "move":
                project.owner = step["to"]
            case "off" | "on":
                project.off = step if step["do"] == "off" else {}
            case "messages":
                project.count(at, step["count"])
            case "rows":
                project.rows.append(step)
            case "adjust":
                project.correct(step, self)
            case job:
                self.run(job, at)

    def run(self, job: str, at: datetime) -> None:
        for organization, tier in self.tiers.items():
            self.readings[organization].append((at, tier))
        for project in self.projects.values():
            project.read(at)
            if job == "daily":
                project.seal(at.date() - DAY, at, self.readings)
                self.recount(project, at)
            if job == "monthly":
                self.close(project, at)

    def recount(self, project: Project, at: datetime) -> None:
        due = [d for d in project.days.items() if not d[1]["recounted"] and d[1]["sealed"] <= at - DAY]
        for day, sealed in sorted(due):
            sealed["recounted"] = True
            for meter, count in project.counted_rows(day).items():
                if quantity := count - sealed["counts"][meter]:
                    project.correct({"day": day, "meter": meter, "quantity": quantity, "at": at}, self)

    def close(self, project: Project, at: datetime) -> None:
        month = first_of(project.created)
        while (following := first_of(month + 31 * DAY)) <= at.date():
            if month not in project.rated:
                project.seal(following - DAY, at, self.readings)
                project.rated[month] = self.rate(project, month)
                posted = [c["amount"] for c in project.corrections if c["posted"] == month]
                if posted or any(first_of(day) == month for day in project.days):
                    owner = last_known(project.owners, following - DAY)
                    project.bills[month] = (owner, sum(posted, start=project.rated[month]))
            month = following

    def rate(self, project: Project, month: date) -> Decimal:
        days = sorted((day, sealed) for day, sealed in project.days.items() if first_of(day) == month)
        last = first_of(month + 31 * DAY) - DAY
        spans: dict[tuple[int, str], list[Any]] = {}
        for day, sealed in days:
            at_end = last_known(self.readings[last_known(project.owners, last)], last)
            place, tier = (day, sealed["tier"]) if self.prorate else (last, at_end)
            version = max((n for n, plan in enumerate(self.plans) if plan["effective"] <= place), default=0)
            spans.setdefault((version, tier), []).append((day, sealed["counts"]))
        about = [c for c in project.corrections if first_of(c["day"]) == month]
        total = Decimal("0.00")
        for (version, name), counted in spans.items():
            share = Fraction(len(counted), last.day) if self.prorate else Fraction(1)
            total += cents(Fraction(self.plans[version]["tiers"][name]["fee"]) * share)
            for meter, (included, price, size) in self.plans[version]["tiers"][name]["meters"].items():
                used = sum(counts[meter] for _, counts in counted)
                if counted[-1][0] == days[-1][0]:  # corrections count with the last day
                    used += sum(c["quantity"] for c in about if c["meter"] == meter)
                over = max(used - -(-included * share.numerator // share.denominator), 0)
                total += cents(Fraction(price) * -(-over // size))
        return total
