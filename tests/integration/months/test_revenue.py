"""Bills added up by month, tier and organization: the sums of a plain loop, each currency by itself."""

import random
from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from metering.catalogue.periods import Month
from metering.db.transactions import transaction
from metering.months import adjustments, corrected_bills, revenue
from metering.months.adjustment import Adjustment
from metering.months.revenue import By
from metering.pricing import plans
from tests.support.closed_months import OCTOBER, closed_october
from tests.support.platform import Platform

# Copies of the one real bill, with other owners, months, currencies and amounts.
COPY = text("""
    INSERT INTO monthly_stats SELECT made.* FROM monthly_stats m CROSS JOIN LATERAL jsonb_populate_record(m,
        jsonb_build_object('project_id', CAST(:project AS bigint), 'year', CAST(:year AS int),
            'month', CAST(:month AS int), 'organization_id', CAST(:organization AS bigint),
            'tier', CAST(:tier AS text), 'currency', CAST(:currency AS text),
            'total_charge', CAST(:total AS numeric))) made
    WHERE m.project_id = :original LIMIT 1""")
MONTHS = revenue.last_months(OCTOBER.previous(), 3)


@pytest.fixture
def bills(engine: Engine, platform: Platform) -> list[dict[str, Any]]:
    chance, (original,) = random.Random(7), closed_october(engine, platform)
    rows = []
    for tier in ("free", "starter", "pro"):
        organization = platform.organization(tier)
        for number in range(4):
            project = platform.project(organization)
            for month in MONTHS:
                row = {"project": project, "organization": organization, "tier": tier, "original": original}
                row |= {"year": month.year, "month": month.month, "currency": ("EUR", "USD")[number % 2]}
                rows.append(row | {"total": Decimal(chance.randint(-500, 99_999)) / 100})
    with engine.begin() as connection:
        connection.execute(COPY, rows)
    return rows


@pytest.mark.parametrize("by", ["total", "tier", "organization", "project"])
def test_sums_are_those_of_a_plain_loop(engine: Engine, bills: list[dict[str, Any]], by: By) -> None:
    expected: dict[Any, Decimal] = defaultdict(Decimal)
    for bill in bills:
        key = "" if by == "total" else str(bill[by])
        expected[Month(bill["year"], bill["month"]), key, bill["currency"]] += bill["total"]
    with engine.connect() as connection:
        rows = revenue.sum_bills(connection, MONTHS, by)
        one = revenue.sum_bills(connection, MONTHS, by, bills[0]["organization"])
    assert {(row["month"], row["key"], row["currency"]): row["as_billed"] for row in rows} == expected
    own = sum(bill["total"] for bill in bills if bill["organization"] == bills[0]["organization"])
    assert sum(row["as_billed"] for row in one) == own


def test_as_corrected_is_what_the_corrected_bills_say(engine: Engine, platform: Platform) -> None:
    first, second = closed_october(engine, platform, 2)
    offered, at = plans.load(None), datetime.fromisoformat("2026-11-05T12:00:00+00:00")
    with transaction(engine) as connection:
        for correction in (
            Adjustment(first, "mqtt_inbound", 900_000, None, date(2026, 10, 9), "recount", "a@cli"),
            Adjustment(first, None, None, Decimal("-2.50"), date(2026, 10, 9), "goodwill", "a@cli"),
            Adjustment(second, None, None, Decimal("7.00"), date(2026, 11, 2), "of this month", "a@cli"),
        ):
            adjustments.post(connection, correction, offered, at)
        views = corrected_bills.views(connection, OCTOBER)
        (total,) = revenue.sum_bills(connection, [OCTOBER])
    assert total["as_billed"] == sum(view["as_billed"]["total_charge"] for view in views)
    assert total["as_corrected"] == sum(view["as_corrected"]["total_charge"] for view in views)
    assert total["as_corrected"] != total["as_billed"]


def test_changes_name_what_a_customers_bill_grew_by(engine: Engine, platform: Platform) -> None:
    (project,) = closed_october(engine, platform)
    organization = platform.scalar("SELECT organization_id FROM projects WHERE id = :id", id=project)
    with engine.connect() as connection:
        rows = revenue.changes(connection, organization, OCTOBER)
        nothing = revenue.changes(connection, organization + 1, OCTOBER)
    assert [(row["key"], row["change"], row["before"]) for row in rows] == [
        ("plan_fee", Decimal("29.00"), None),
        ("mqtt_inbound", Decimal("1.00"), None),
    ]
    assert nothing == []
