"""Every grouping, comparison and currency of money is what a plain loop over the bills makes of them."""

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from console.data.explore import money
from console.data.explore.measures import MONEY
from console.data.explore.question import Filters, Question
from metering.running.spend import Spend
from tests.support.platform import Platform
from tests.support.properties import quick

MONTHS = [date(2026, number, 1) for number in range(3, 11)]
TIERS, CURRENCIES = ("free", "pro"), ("EUR", "JPY")


@dataclass(frozen=True)
class Bill:
    """A bill; a project may move, change its tier and its currency from month to month."""

    project: int
    month: date
    organization: int
    tier: str
    currency: str
    plan_fee: Decimal
    overage: Decimal
    adjustments: Decimal

    @property
    def charge(self) -> Decimal:
        return self.plan_fee + self.overage + self.adjustments


def bills(organizations: list[int], projects: list[int]) -> st.SearchStrategy[list[Bill]]:
    amount = st.sampled_from([Decimal(0), Decimal("0.01"), Decimal("29.00"), Decimal("123456789.99")])
    bill = st.builds(
        Bill,
        st.sampled_from(projects),
        st.sampled_from(MONTHS),
        st.sampled_from(organizations),
        st.sampled_from(TIERS),
        st.sampled_from(CURRENCIES),
        amount,
        amount,
        st.sampled_from([Decimal(0), Decimal("-12.50"), Decimal("-500.00"), Decimal("3.33")]),  # corrections
    )
    return st.lists(bill, max_size=30, unique_by=lambda one: (one.project, one.month))


def insert(connection: Connection, made: list[Bill]) -> None:
    rows = [
        {name: str(value) for name, value in vars(one).items()} | {"charge": str(one.charge)} for one in made
    ]
    connection.execute(text("INSERT INTO plan_versions VALUES ('plan', '{}')"))
    connection.execute(
        text("""INSERT INTO monthly_stats (project_id, year, month, organization_id, tier, exceeded_limits,
                overage_charge, plan_fee, adjustment_charge, total_charge, currency, plan_version,
                days_present, days_expected, previous_seal, seal, closed_by)
            SELECT project, extract(year FROM month), extract(month FROM month), organization, tier, '[]',
                overage, plan_fee, adjustments, charge, currency, 'plan', 28, 28, '', '', 'test'
            FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (project bigint, month date,
                organization bigint, tier text, currency text, plan_fee numeric, overage numeric,
                adjustments numeric, charge numeric)"""),
        {"rows": json.dumps(rows)},
    )


def of_loop(made: list[Bill], asked: Question, labels: list[Any]) -> dict[Any, Decimal]:
    """Sums by measure, label, month and currency; the groups without a series of their own are None."""
    sums: dict[Any, Decimal] = defaultdict(Decimal)
    for one in made:
        if not asked.first <= one.month <= asked.last or not wanted(one, asked.filters):
            continue
        label = label_of(one, asked.by)
        for measure in asked.measures:
            value = {"charge": one.charge, "plan_fee": one.plan_fee, "overage": one.overage}[measure.name]
            shown = label if label in labels else None
            sums[measure.name, shown, one.month, one.currency] += value
    return dict(sums)


def label_of(one: Bill, by: str) -> Any:
    return {"none": "", "organization": one.organization, "tier": one.tier, "project": one.project}[by]


def wanted(one: Bill, filters: Filters) -> bool:
    return (
        (not filters.tiers or one.tier in filters.tiers)
        and (not filters.organizations or one.organization in filters.organizations)
        and (not filters.projects or one.project in filters.projects)
    )


def questions(organizations: list[int], projects: list[int]) -> st.SearchStrategy[Question]:
    return st.builds(
        lambda measures, by, top, filters, one, other: Question(
            tuple(measures), by, top, filters, min(one, other), max(one, other), "month"
        ),
        st.lists(st.sampled_from(MONEY), min_size=1, max_size=3, unique=True),
        st.sampled_from(["none", "organization", "tier", "project"]),
        st.integers(1, 3),
        st.builds(
            Filters,
            tiers=st.sampled_from([(), (), ("pro",)]),
            organizations=st.sampled_from([(), (), (organizations[0],)]),
            projects=st.sampled_from([(), (), tuple(projects[1:3])]),
        ),
        st.sampled_from(MONTHS),
        st.sampled_from(MONTHS),
    )


def answers(answered: money.Charged) -> dict[Any, Decimal]:
    return {
        (row["measure"], row["label"], row["period"], row["currency"]): row["value"]
        for row in answered.frame.to_dict("records")
    }


@quick
@given(data=st.data())
def test_money_is_what_a_loop_over_the_bills_makes(
    engine: Engine, platform: Platform, data: st.DataObject
) -> None:
    organizations = [platform.organization("pro") for _ in range(2)]
    projects = [platform.project(organizations[n % 2], created_at="2026-01-01Z") for n in range(4)]
    made = data.draw(bills(organizations, projects))
    with engine.connect() as connection, connection.begin() as transaction:
        insert(connection, made)
        for _ in range(4):
            asked = data.draw(questions(organizations, projects))
            answered = money.read(connection, asked)
            assert answers(answered) == of_loop(made, asked, answered.labels)
            compare_groups(made, asked, answered)
            compare_earlier(connection, made, asked, answered)
        transaction.rollback()


def compare_groups(made: list[Bill], asked: Question, answered: money.Charged) -> None:
    """The groups with a series of their own are the largest by the first measure, over all currencies."""
    mine = [one for one in made if asked.first <= one.month <= asked.last and wanted(one, asked.filters)]
    labels = {label_of(one, asked.by) for one in mine} if asked.by != "none" else {""}
    assert answered.groups == len(labels)
    sizes = of_loop(mine, asked, list(labels))
    totals: dict[Any, Decimal] = defaultdict(Decimal)
    for (measure, label, _, _), value in sizes.items():
        totals[label] += value if measure == asked.measures[0].name else 0
    order = sorted(labels, key=lambda label: (-totals[label], label))
    assert answered.labels == order[: asked.top]


def compare_earlier(
    connection: Connection, made: list[Bill], asked: Question, answered: money.Charged
) -> None:
    """A comparison is about the same groups in another range."""
    if asked.by == "none":
        return
    then = asked.moved(MONTHS[0], MONTHS[2]).about(answered.labels, answered.groups > len(answered.labels))
    assert answers(money.read(connection, then)) == of_loop(made, then, list(answered.labels))


def test_the_running_month_is_added_to_its_groups(engine: Engine, platform: Platform) -> None:
    organization = platform.organization("pro")
    project = platform.project(organization, created_at="2026-01-01Z")
    running = date(2026, 11, 1)
    asked = Question(MONEY, "organization", 3, Filters(), MONTHS[0], running, "month")
    fees = Decimal(40), None, "EUR", Decimal(11), None
    spend = Spend(project, "Fleet", organization, "Customer", "pro", *fees)
    with engine.connect() as connection:
        answered = money.with_running(money.read(connection, asked), [spend], asked, running)
    assert answers(answered) == {
        ("charge", None, running, "EUR"): Decimal(40),
        ("overage", None, running, "EUR"): Decimal(11),
    }
    assert answered.groups == 1
