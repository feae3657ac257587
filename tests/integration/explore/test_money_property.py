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
    return st.lists(bill, max_size=30, unique_by=lambda bill: (bill.project, bill.month))


def insert(connection: Connection, ledger: list[Bill]) -> None:
    rows = [
        {name: str(value) for name, value in vars(bill).items()} | {"charge": str(bill.charge)}
        for bill in ledger
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


def of_loop(ledger: list[Bill], question: Question, labels: list[Any]) -> dict[Any, Decimal]:
    """Return sums by measure, label, month and currency; groups without a series have the label None."""
    sums: dict[Any, Decimal] = defaultdict(Decimal)
    for bill in ledger:
        if not question.first <= bill.month <= question.last or not matches(bill, question.filters):
            continue
        label = label_of(bill, question.by)
        for measure in question.measures:
            value = {"charge": bill.charge, "plan_fee": bill.plan_fee, "overage": bill.overage}[measure.name]
            series_label = label if label in labels else None
            sums[measure.name, series_label, bill.month, bill.currency] += value
    return dict(sums)


def label_of(bill: Bill, by: str) -> Any:
    return {"none": "", "organization": bill.organization, "tier": bill.tier, "project": bill.project}[by]


def matches(bill: Bill, filters: Filters) -> bool:
    return (
        (not filters.tiers or bill.tier in filters.tiers)
        and (not filters.organizations or bill.organization in filters.organizations)
        and (not filters.projects or bill.project in filters.projects)
    )


def questions(organizations: list[int], projects: list[int]) -> st.SearchStrategy[Question]:
    return st.builds(
        lambda measures, by, top, filters, start, end: Question(
            tuple(measures), by, top, filters, min(start, end), max(start, end), "month"
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


def amounts(result: money.Charges) -> dict[Any, Decimal]:
    return {
        (row["measure"], row["label"], row["period"], row["currency"]): row["value"]
        for row in result.frame.to_dict("records")
    }


@quick
@given(data=st.data())
def test_money_is_what_a_loop_over_the_bills_makes(
    engine: Engine, platform: Platform, data: st.DataObject
) -> None:
    organizations = [platform.organization("pro") for _ in range(2)]
    projects = [platform.project(organizations[n % 2], created_at="2026-01-01Z") for n in range(4)]
    ledger = data.draw(bills(organizations, projects))
    with engine.connect() as connection, connection.begin() as transaction:
        insert(connection, ledger)
        for _ in range(4):
            question = data.draw(questions(organizations, projects))
            result = money.read(connection, question)
            assert amounts(result) == of_loop(ledger, question, result.labels)
            compare_groups(ledger, question, result)
            compare_earlier(connection, ledger, question, result)
        transaction.rollback()


def compare_groups(ledger: list[Bill], question: Question, result: money.Charges) -> None:
    """Check that the groups with a series are the largest by the first measure, over all currencies."""
    matching = [
        bill
        for bill in ledger
        if question.first <= bill.month <= question.last and matches(bill, question.filters)
    ]
    labels = {label_of(bill, question.by) for bill in matching} if question.by != "none" else {""}
    assert result.groups == len(labels)
    sizes = of_loop(matching, question, list(labels))
    totals: dict[Any, Decimal] = defaultdict(Decimal)
    for (measure, label, _, _), value in sizes.items():
        totals[label] += value if measure == question.measures[0].name else 0
    order = sorted(labels, key=lambda label: (-totals[label], label))
    assert result.labels == order[: question.top]


def compare_earlier(
    connection: Connection, ledger: list[Bill], question: Question, result: money.Charges
) -> None:
    """Check that a comparison is about the same groups in another range."""
    if question.by == "none":
        return
    earlier = question.moved(MONTHS[0], MONTHS[2]).about(result.labels, result.groups > len(result.labels))
    assert amounts(money.read(connection, earlier)) == of_loop(ledger, earlier, list(result.labels))


def test_the_running_month_is_added_to_its_groups(engine: Engine, platform: Platform) -> None:
    organization = platform.organization("pro")
    project = platform.project(organization, created_at="2026-01-01Z")
    running = date(2026, 11, 1)
    question = Question(MONEY, "organization", 3, Filters(), MONTHS[0], running, "month")
    fees = Decimal(40), None, "EUR", Decimal(11), None
    spend = Spend(project, "Fleet", organization, "Customer", "pro", *fees)
    with engine.connect() as connection:
        result = money.with_running(money.read(connection, question), [spend], question, running)
    assert amounts(result) == {
        ("charge", None, running, "EUR"): Decimal(40),
        ("overage", None, running, "EUR"): Decimal(11),
    }
    assert result.groups == 1
