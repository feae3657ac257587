"""Adjustments: posted into the open month, append-only, reversed by another."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from metering.db.transactions import transaction
from metering.errors import AdjustmentRefused, MonthClosed, UnknownProject
from metering.months import adjustments, corrected_bills
from metering.months.adjustment import Adjustment
from metering.pricing import plans
from metering.pricing.plans import Plans
from metering.proof.verify import verify
from tests.support.closed_months import OCTOBER, close, closed_october
from tests.support.platform import Platform

NOVEMBER = OCTOBER.next()
DEFAULT = plans.load(None)
NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)


def post(engine: Engine, project: int, at: datetime = NOW, offered: Plans = DEFAULT, **changes: Any) -> int:
    fields: dict[str, Any] = {"meter": None, "quantity": None, "amount": None}
    fields |= {"usage_date": date(2026, 10, 15), "reason": "late rows", "actor": "a@cli"} | changes
    with transaction(engine) as connection:
        return adjustments.post(connection, Adjustment(project, **fields), offered, at)


def test_a_correction_is_paid_by_the_open_month(engine: Engine, platform: Platform) -> None:
    (project,) = closed_october(engine, platform)
    post(engine, project, meter="mqtt_inbound", quantity=1_000_001)
    post(engine, project, amount=Decimal("-5.00"))
    assert platform.scalar("SELECT mqtt_inbound FROM project_stats") == 0, "running totals are the ledger's"
    close(engine, [project], NOVEMBER)
    assert platform.rows(
        """SELECT mqtt_inbound, overage_charge::text, adjustment_charge::text, total_charge::text
        FROM monthly_stats WHERE month = 11"""
    ) == [(0, "0.00", "-4.00", "25.00")]
    assert verify(engine).sound


def test_a_month_as_billed_and_as_corrected(engine: Engine, platform: Platform) -> None:
    (project,) = closed_october(engine, platform)
    post(engine, project, meter="mqtt_inbound", quantity=-500)
    post(engine, project, amount=Decimal("-5.00"))
    with engine.connect() as connection:
        (view,) = corrected_bills.views(connection, OCTOBER, [project])
    assert (view["as_billed"]["mqtt_inbound"], view["as_corrected"]["mqtt_inbound"]) == (1_500_000, 1_499_500)
    assert (view["as_billed"]["total_charge"], view["as_corrected"]["total_charge"]) == (
        Decimal("30.00"),
        Decimal("25.00"),
    )


def test_a_corrected_quantity_is_rated_with_the_month_that_it_is_about(
    engine: Engine, platform: Platform
) -> None:
    """600,000 more take October a second started million: 31.00 instead of 30.00, less 5.00 in money."""
    (project,) = closed_october(engine, platform)
    post(engine, project, meter="mqtt_inbound", quantity=600_000)
    post(engine, project, amount=Decimal("-5.00"))
    with engine.connect() as connection:
        (view,) = corrected_bills.views(connection, OCTOBER, [project])
    assert view["as_corrected"]["mqtt_inbound"] == 2_100_000
    assert view["as_corrected"]["total_charge"] == Decimal("26.00")
    assert (view["as_billed"]["total_charge"], view["adjustments"]) == (Decimal("30.00"), 2)


def test_a_wrong_one_is_reversed_once(engine: Engine, platform: Platform) -> None:
    (project,) = closed_october(engine, platform)
    wrong = post(engine, project, meter="logs", quantity=70)
    with transaction(engine) as connection:
        adjustments.reverse(connection, project, wrong, "typed twice", "a@cli", plans.load(None), NOW)
    assert platform.rows("SELECT quantity, reverses FROM adjustments ORDER BY id") == [
        (70, None),
        (-70, wrong),
    ]
    with (
        pytest.raises(AdjustmentRefused, match="already reversed"),
        transaction(engine) as connection,
    ):
        adjustments.reverse(connection, project, wrong, "again", "a@cli", plans.load(None), NOW)


def test_every_adjustment_is_in_the_audit_log(engine: Engine, platform: Platform) -> None:
    (project,) = closed_october(engine, platform)
    post(engine, project, amount=Decimal("1.25"), reason="goodwill")
    assert platform.rows(
        "SELECT actor, subject, reason, after->>'amount' FROM audit_log WHERE action = 'adjust'"
    ) == [("a@cli", f"project {project}", "goodwill", "1.25")]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "takes a meter with a quantity, or an amount"),
        ({"meter": "logs", "quantity": 1, "amount": Decimal(1)}, "not both"),
        ({"meter": "logs", "quantity": 0}, "of nothing"),
        ({"meter": "logs", "quantity": 2**63}, "more than can be counted"),
        ({"amount": Decimal(1), "usage_date": date(2020, 1, 1)}, "was created on 2023-06-01"),
        ({"meter": "device_count", "quantity": 1}, "no counter"),
        ({"meter": "lgos", "quantity": 1}, "the counters are logs, sessions"),
        ({"amount": Decimal("NaN")}, "no amount"),
        ({"amount": Decimal(1), "reason": " "}, "needs a reason"),
        ({"amount": Decimal(1), "usage_date": date(2026, 11, 25)}, "in the future"),
    ],
)
def test_what_is_no_correction_is_refused(
    engine: Engine, platform: Platform, changes: dict[str, Any], says: str
) -> None:
    project = platform.project()
    with pytest.raises(AdjustmentRefused, match=says):
        post(engine, project, **changes)
    assert platform.scalar("SELECT count(*) FROM adjustments") == 0


def test_a_closed_month_takes_no_more(engine: Engine, platform: Platform) -> None:
    (project,) = closed_october(engine, platform)
    with pytest.raises(MonthClosed, match="2026-10 is already closed"):
        post(engine, project, OCTOBER.last.start, amount=Decimal(1))
    with pytest.raises(UnknownProject):
        post(engine, 999_999, amount=Decimal(1))


@pytest.mark.parametrize("statement", ["UPDATE adjustments SET amount = 9", "DELETE FROM adjustments"])
def test_what_was_posted_stays(engine: Engine, platform: Platform, statement: str) -> None:
    (project,) = closed_october(engine, platform)
    post(engine, project, amount=Decimal(1))
    with pytest.raises(IntegrityError, match="sealed"):
        platform.sql(statement)
