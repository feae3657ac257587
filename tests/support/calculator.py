"""Compute bills from the steps of a history, without the product's code: rules 2 to 5, 10 and 11 by day."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

Step = dict[str, Any]
ROWS, DAY, NEVER = ("logs", "api_calls"), timedelta(days=1), datetime.max.replace(tzinfo=UTC)
ALMOST = DAY - timedelta(microseconds=1)  # from an instant to the first day that begins at it or later


def cents(amount: Fraction) -> Decimal:
    return (Decimal(amount.numerator) / amount.denominator).quantize(Decimal("0.01"), ROUND_HALF_UP)


def last_known(readings: list[Any], last: date) -> Any:
    return ([value for at, value in readings if at.date() <= last] or [readings[0][1]])[-1]


class Project:
    """The events of one project, billed from the day `opened`; `bills`: month -> (organization, total)."""

    def __init__(self, owner: int, created: date, opened: date) -> None:
        self.owner, self.created, self.opened, self.next_day = owner, created, opened, opened
        self.off: list[date] = []  # while it is off: the first whole day, or date.max if it is not dated
        self.away: list[date] = []  # while it was read as off: the first whole day, and when it was on again
        self.absences, self.owners = list[list[date]](), list[Any]()
        self.messages, self.rows, self.corrections = defaultdict[date, int](int), list[Step](), list[Step]()
        self.days, self.rated, self.bills = dict[date, Step](), dict[date, Decimal](), dict[date, Any]()

    def count(self, at: datetime, messages: int) -> None:
        if not self.off or (self.away or self.off)[0] > at.date():
            self.messages[max(at.date(), self.next_day)] += messages

    def read(self, at: datetime) -> None:
        self.owners.append((at, self.owner))
        if self.off and not self.away:
            self.away = [min(self.off[0], (at + ALMOST).date()), date.max]
            self.absences.append(self.away)
        elif self.away and not self.off:
            self.away[1], self.away = at.date(), []

    def was_on(self, day: date) -> bool:
        until = (self.off or [date.max])[0]  # also where no job has read it yet
        return self.created <= day < until and not any(off <= day < on for off, on in self.absences)

    def counted_rows(self, day: date) -> dict[str, int]:
        rows = [row for row in self.rows if row["created_at"].date() == day and self.was_on(day)]
        return {meter: sum(row["count"] for row in rows if row["meter"] == meter) for meter in ROWS}

    def seal(self, last: date, at: datetime, tiers: dict[int, list[Any]]) -> None:
        while (day := self.next_day) <= last:
            counts = {"mqtt_inbound": self.messages[day]} | self.counted_rows(day)
            if self.was_on(day) or any(counts.values()):
                tier = last_known(tiers[last_known(self.owners, day)], day)
                self.days[day] = {"tier": tier, "counts": counts, "due": at + DAY}
            self.next_day += DAY

    def correct(self, step: Step, calculator: "Calculator") -> None:
        """Post a correction to its own month or to the running one.

        The running month takes it where its own month is closed, history or without days.
        """
        month, running = step["day"].replace(day=1), step["at"].date().replace(day=1)
        days = [day for n in range(31) if (day := month + n * DAY).month == month.month]
        has_days = any(day in self.days or self.messages.get(day) or self.was_on(day) for day in days)
        is_open = month not in self.rated and month >= self.opened.replace(day=1) and has_days
        posting = {"posted": month if is_open else running, "amount": step.get("amount") or Decimal(0)}
        self.corrections.append(step | posting)
        if month in self.rated and step["meter"]:
            *past, new = [c for c in self.corrections if c["meter"] and c["day"].replace(day=1) == month]
            new["amount"] = calculator.rate(self, month) - self.rated[month] - sum(c["amount"] for c in past)


class Calculator:
    """The bills of a history, computed step by step.

    `plans` are versions with tiers of meters (included, price, size).
    """

    def __init__(self, plans: list[Step], prorate: bool, tiers: dict[int, str], projects: dict[int, Project]):
        self.plans, self.prorate, self.tiers, self.projects = plans, prorate, tiers, projects
        self.readings = defaultdict[int, list[Any]](list)  # of tiers

    def play(self, step: Step) -> None:
        at, project = step["at"], self.projects.get(step.get("project", 0), Project(0, date.max, date.max))
        match do := step["do"]:
            case "tier":
                self.tiers[step["organization"]] = step["tier"]
            case "move":
                project.owner = step["to"]
            case "off" | "on":
                project.off = [] if do == "on" else [(at + ALMOST).date() if step["dated"] else date.max]
            case "messages":
                project.count(at, step["count"])
            case "rows":
                project.rows.append(step)
            case "adjust":
                project.correct(step, self)
            case job:
                self.run(job, at, step.get("last", at.date() - DAY))

    def run(self, job: str, at: datetime, last: date) -> None:
        for organization, tier in self.tiers.items():
            self.readings[organization].append((at, tier))
        for project in self.projects.values():
            project.read(at)
            if job in ("daily", "backfill"):
                project.seal(last, at, self.readings)
            if job == "daily":
                self.recount(project, at)
            if job == "monthly":
                self.close(project, at)

    def recount(self, project: Project, at: datetime) -> None:
        for day in sorted(day for day, sealed in project.days.items() if sealed["due"] <= at):
            project.days[day]["due"] = NEVER
            for meter, count in project.counted_rows(day).items():
                if quantity := count - project.days[day]["counts"][meter]:
                    project.correct({"day": day, "meter": meter, "quantity": quantity, "at": at}, self)

    def close(self, project: Project, at: datetime) -> None:
        month = project.opened.replace(day=1)
        while (following := (month + 31 * DAY).replace(day=1)) <= at.date():
            if month not in project.rated:
                project.seal(following - DAY, at, self.readings)
                project.rated[month] = self.rate(project, month)
                amounts = [c["amount"] for c in project.corrections if c["posted"] == month]
                if amounts or any(day.replace(day=1) == month for day in project.days):
                    owner = last_known(project.owners, following - DAY)
                    project.bills[month] = (owner, sum(amounts, start=project.rated[month]))
            month = following

    def rate(self, project: Project, month: date) -> Decimal:
        days = sorted((day, sealed) for day, sealed in project.days.items() if day.replace(day=1) == month)
        last = (month + 31 * DAY).replace(day=1) - DAY
        spans: dict[tuple[int, str], list[Any]] = {}
        for day, sealed in days:
            at_end = last_known(self.readings[last_known(project.owners, last)], last)
            place, tier = (day, sealed["tier"]) if self.prorate else (last, at_end)
            version = max((n for n, plan in enumerate(self.plans) if plan["effective"] <= place), default=0)
            spans.setdefault((version, tier), []).append((day, sealed["counts"]))
        about = [c for c in project.corrections if c["day"].replace(day=1) == month]
        total = Decimal("0.00")
        for (version, name), span_days in spans.items():
            share = Fraction(len(span_days), last.day) if self.prorate else Fraction(1)
            total += cents(Fraction(self.plans[version]["tiers"][name]["fee"]) * share)
            for meter, (included, price, size) in self.plans[version]["tiers"][name]["meters"].items():
                used = sum(counts[meter] for _, counts in span_days)
                if span_days[-1][0] == days[-1][0]:  # corrections count with the last day
                    used += sum(c["quantity"] for c in about if c["meter"] == meter)
                over = max(used - -(-included * share.numerator // share.denominator), 0)
                total += cents(Fraction(price) * -(-over // size))
        return total
