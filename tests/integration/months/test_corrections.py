"""A correction is worth what it says: the month rated again minus its bill, in the month's currency."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from metering.alerts import alerts
from metering.catalogue.periods import Day, Month
from metering.db.transactions import transaction
from metering.errors import AdjustmentRefused
from metering.ledger.late_rows import LateRows
from metering.months import adjustments, corrected_bills, explain, gaps, late_rows, unapplied
from metering.months.adjustment import Adjustment
from metering.months.close import close_month
from metering.months.due import due_months
from metering.pricing.plans import Plans
from metering.proof import offline
from metering.proof.verify import CORRECTED, verify
from tests.support.closed_months import OCTOBER, count, export_days, export_month
from tests.support.platform import Platform

NOVEMBER, DECEMBER = OCTOBER.next(), OCTOBER.next().next()
IN_NOVEMBER = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
ABOUT_OCTOBER = date(2026, 10, 15)
LOGS = {"included": 1_000, "overage": {"model": "per_unit", "price": "0.01"}}


def plans_in(*versions: tuple[str, str], prorate: bool = False) -> Plans:
    """A tier "paid" with a fee of 10: 0.01 for each log beyond 1,000, from each day in its currency."""
    tier = {"fee": "10", "meters": {"logs": LOGS}}
    return Plans.model_validate(
        {
            "versions": [
                {"effective": day, "currency": currency, "prorate": prorate, "tiers": {"paid": tier}}
                for day, currency in versions
            ]
        }
    )


IN_EUROS = plans_in(("2026-01-01", "EUR"))


def closed(engine: Engine, platform: Platform, logs: int, plans: Plans = IN_EUROS) -> int:
    """A project that used `logs` in October, and October closed."""
    project = platform.project(platform.organization("paid"), created_at=OCTOBER.start)
    use(engine, platform, project, logs, OCTOBER)
    close(engine, project, OCTOBER, plans)
    return project


def use(engine: Engine, platform: Platform, project: int, logs: int, month: Month) -> None:
    at = month.start.replace(day=15, hour=9)
    organization = platform.scalar("SELECT organization_id FROM projects WHERE id = :id", id=project)
    count(engine, organization, project, 1, at)
    for table, key in (("usage_hourly", "hour = :at"), ("project_stats", ":at IS NOT NULL")):
        platform.sql(
            f"UPDATE {table} SET logs = logs + :logs WHERE project_id = :id AND {key}",
            logs=logs,
            id=project,
            at=at,
        )


def close(engine: Engine, project: int, month: Month, plans: Plans = IN_EUROS) -> None:
    with transaction(engine) as connection:
        result = close_month(connection, month, [project], plans, month.end, "schedule")
    assert (result.closed, result.blocked) == (1, {})


def correct(
    engine: Engine, project: int, quantity: int, at: datetime = IN_NOVEMBER, plans: Plans = IN_EUROS
) -> int:
    about = Adjustment(project, "logs", quantity, None, ABOUT_OCTOBER, "miscounted", "a@cli")
    with transaction(engine) as connection:
        return adjustments.post(connection, about, plans, at)


def credit(engine: Engine, project: int, amount: str, plans: Plans = IN_EUROS, **more: Any) -> int:
    about = Adjustment(project, None, None, Decimal(amount), ABOUT_OCTOBER, "goodwill", "a@cli", **more)
    with transaction(engine) as connection:
        return adjustments.post(connection, about, plans, IN_NOVEMBER)


def reverse(engine: Engine, project: int, identity: int) -> int:
    with transaction(engine) as connection:
        return adjustments.reverse(connection, project, identity, "wrong", "a@cli", IN_EUROS, IN_NOVEMBER)


def read_adjustments(platform: Platform, project: int) -> list[tuple[Any, ...]]:
    query = """SELECT quantity, amount::text, currency, to_char(posted_month, 'YYYY-MM') FROM adjustments
        WHERE project_id = :id ORDER BY id"""
    return [tuple(row) for row in platform.rows(query, id=project)]


def bill(platform: Platform, project: int, month: Month) -> tuple[Any, ...]:
    query = """SELECT plan_fee::text, overage_charge::text, adjustment_charge::text, total_charge::text
        FROM monthly_stats WHERE project_id = :id AND (year, month) = (:year, :month)"""
    (row,) = platform.rows(query, id=project, year=month.year, month=month.month)
    return tuple(row)


def price(logs: int) -> Decimal:
    """What a month with these logs is charged for them, computed without our code."""
    return max(logs - 1_000, 0) * Decimal("0.01")


def test_a_credit_is_paid_although_the_running_month_is_within_its_allowance(
    engine: Engine, platform: Platform
) -> None:
    project = closed(engine, platform, logs=1_500)
    identity = correct(engine, project, -200)
    assert read_adjustments(platform, project) == [(-200, "-2.00", "EUR", "2026-11")]
    with engine.connect() as connection:
        assert adjustments.describe(connection, project, identity) == "-2.00 EUR on the bill of 2026-11"
        (view,) = corrected_bills.views(connection, OCTOBER, [project])
    assert (view["as_billed"]["total_charge"], view["as_corrected"]["total_charge"]) == (
        Decimal("15.00"),
        Decimal("13.00"),
    )
    assert (view["as_billed"]["logs"], view["as_corrected"]["logs"]) == (1_500, 1_300)
    use(engine, platform, project, 100, NOVEMBER)
    close(engine, project, NOVEMBER)
    assert bill(platform, project, NOVEMBER) == ("10.00", "0.00", "-2.00", "8.00")
    logs = platform.scalar("SELECT logs FROM monthly_stats WHERE month = 11")
    assert logs == 100, "the quantity is not usage of the month that pays it"
    assert verify(engine).discrepancies == []


def test_corrections_are_valued_on_top_of_each_other(engine: Engine, platform: Platform) -> None:
    """The first 300 of 500 more are within the allowance."""
    project = closed(engine, platform, logs=700)
    first = correct(engine, project, 200)
    correct(engine, project, 300)
    reverse(engine, project, first)
    assert [row[:2] for row in read_adjustments(platform, project)] == [
        (200, "0.00"),
        (300, "2.00"),
        (-200, "-2.00"),
    ]
    assert verify(engine).discrepancies == []


@pytest.mark.parametrize("prorate", [False, True])
def test_amounts_posted_are_the_month_rated_again_minus_its_bill(
    engine: Engine, platform: Platform, prorate: bool
) -> None:
    plans = plans_in(("2026-01-01", "EUR"), prorate=prorate)

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.integers(0, 3_000),
        st.lists(st.tuples(st.integers(-1_500, 1_500).filter(bool), st.booleans()), min_size=1, max_size=6),
    )
    def holds(logs: int, corrections: list[tuple[int, bool]]) -> None:
        project, total = closed(engine, platform, logs, plans), logs
        for quantity, is_reversed in corrections:
            if total + quantity < 0:
                with pytest.raises(AdjustmentRefused, match="no more than that can be taken off"):
                    correct(engine, project, quantity, plans=plans)
                continue
            identity = correct(engine, project, quantity, plans=plans)
            if is_reversed:
                reverse(engine, project, identity)
            else:
                total += quantity
        amount = price(total) - price(logs)
        assert sum(Decimal(row[1]) for row in read_adjustments(platform, project)) == amount
        with engine.connect() as connection:
            (view,) = corrected_bills.views(connection, OCTOBER, [project])
        assert view["as_corrected"]["total_charge"] == Decimal(10) + price(total)
        close(engine, project, NOVEMBER, plans)
        assert bill(platform, project, NOVEMBER)[2] == f"{amount:.2f}"

    holds()
    assert verify(engine).discrepancies == []


def test_a_correction_of_a_month_that_is_not_closed_is_of_that_month(
    engine: Engine, platform: Platform
) -> None:
    project = platform.project(platform.organization("paid"), created_at=OCTOBER.start)
    use(engine, platform, project, 1_500, OCTOBER)
    correct(engine, project, -200)
    assert read_adjustments(platform, project) == [(-200, None, None, "2026-10")]
    close(engine, project, OCTOBER)
    assert bill(platform, project, OCTOBER) == ("10.00", "3.00", "0.00", "13.00")
    reverse(engine, project, 1)
    assert read_adjustments(platform, project)[1] == (200, "2.00", "EUR", "2026-11")
    assert verify(engine).discrepancies == []


def test_a_correction_that_was_changed_is_named(engine: Engine, platform: Platform) -> None:
    project = closed(engine, platform, logs=1_500)
    correct(engine, project, -200)
    platform.sql("ALTER TABLE adjustments DISABLE TRIGGER USER")
    platform.sql("UPDATE adjustments SET amount = -3")
    discrepancies = [one for one in verify(engine).discrepancies if one.law == CORRECTED]
    assert [(one.project_id, one.period, one.expected, one.found) for one in discrepancies] == [
        (project, "2026-10", "-2.00", "-3")
    ]


def test_what_is_finer_than_the_minor_unit_is_refused(engine: Engine, platform: Platform) -> None:
    project = closed(engine, platform, logs=0)
    with pytest.raises(AdjustmentRefused, match=r"finer than EUR is billed in; the smallest amount is 0\.01"):
        credit(engine, project, "-0.005")
    credit(engine, project, "-0.500")
    assert read_adjustments(platform, project) == [(None, "-0.50", "EUR", "2026-11")]
    yen = plans_in(("2026-01-01", "JPY"))
    with pytest.raises(AdjustmentRefused, match="the smallest amount is 1"):
        credit(engine, closed(engine, platform, 0, yen), "0.5", yen)


def test_a_correction_in_another_currency_is_refused(engine: Engine, platform: Platform) -> None:
    project = closed(engine, platform, logs=1_500)
    changed = plans_in(("2026-01-01", "EUR"), ("2026-11-01", "USD"))
    says = "2026-10 was billed in EUR and the running month is in USD"
    with pytest.raises(AdjustmentRefused, match=says):
        credit(engine, project, "-5", changed)
    with pytest.raises(AdjustmentRefused, match=says):
        correct(engine, project, -200, plans=changed)
    with pytest.raises(AdjustmentRefused, match="2026-10 is billed in EUR, not in USD"):
        credit(engine, project, "-5", currency="USD")
    assert read_adjustments(platform, project) == []


def post_late(engine: Engine, project: int, quantity: int) -> int:
    with transaction(engine) as connection:
        late = [LateRows(project, "logs", quantity)]
        return len(late_rows.post(connection, Day(ABOUT_OCTOBER), late, IN_NOVEMBER))


def test_a_late_row_is_worth_what_it_adds_to_its_month(engine: Engine, platform: Platform) -> None:
    project = closed(engine, platform, logs=1_500)
    assert post_late(engine, project, 7) == 1
    assert read_adjustments(platform, project) == [(7, "0.07", "EUR", "2026-11")]
    assert verify(engine).discrepancies == []


def test_a_late_row_found_by_a_run_dated_back_is_on_the_first_open_month(
    engine: Engine, platform: Platform
) -> None:
    """November is closed when somebody runs `daily --at` an instant of it: its bill cannot take more."""
    project = closed(engine, platform, logs=1_500)
    close(engine, project, NOVEMBER)
    assert post_late(engine, project, 7) == 1
    assert read_adjustments(platform, project) == [(7, "0.07", "EUR", "2026-12")]
    assert verify(engine).discrepancies == []


def test_a_late_row_in_another_currency_is_kept_and_named(engine: Engine, platform: Platform) -> None:
    project = closed(engine, platform, logs=1_500)
    changed = plans_in(("2026-01-01", "EUR"), ("2026-11-01", "USD"))
    post_late(engine, project, 700)
    assert read_adjustments(platform, project) == [(700, "7.00", "EUR", "2026-11")]
    for is_closed in (False, True):
        if is_closed:
            close(engine, project, NOVEMBER, changed)
        for month in (OCTOBER, NOVEMBER):
            with engine.connect() as connection:
                (one,) = unapplied.of_month(connection, month, changed)
            assert "is not applied: 2026-11 is billed in USD" in str(one)
    with transaction(engine) as connection:
        alerts.refresh(connection, DECEMBER.start, changed)
    query = "SELECT project_id, detail->>'billed_in' FROM alerts WHERE kind = 'correction_not_applied'"
    assert platform.rows(query) == [(project, "USD")]
    assert bill(platform, project, NOVEMBER) == ("10.00", "0.00", "0.00", "10.00")
    assert verify(engine).discrepancies == []


def test_a_customer_who_left_gets_a_bill_that_holds_the_refund_alone(
    engine: Engine, platform: Platform, tmp_path: Any
) -> None:
    project = closed(engine, platform, logs=1_500)
    platform.deactivate(project, OCTOBER.last.start)
    correct(engine, project, -200)
    credit(engine, project, "-7.00")
    with pytest.raises(AdjustmentRefused, match="was off in 2026-11 and used nothing in it"):
        about = Adjustment(project, "logs", 5, None, IN_NOVEMBER.date(), "?", "a@cli")
        with transaction(engine) as connection:
            adjustments.post(connection, about, IN_EUROS, IN_NOVEMBER)
    with engine.connect() as connection:
        assert NOVEMBER in due_months(connection, DECEMBER.start)
        states = gaps.statuses(connection, NOVEMBER, DECEMBER.start, IN_EUROS)
    assert [(one.project_id, one.state) for one in states] == [(project, "open")]
    close(engine, project, NOVEMBER)
    assert bill(platform, project, NOVEMBER) == ("0.00", "0.00", "-9.00", "-9.00")
    days = "SELECT days_present, days_expected FROM monthly_stats WHERE month = 11"
    assert platform.rows(days) == [(0, 0)]
    with engine.connect() as connection:
        assert DECEMBER not in due_months(connection, DECEMBER.end)
        explained = explain.explain(connection, project, NOVEMBER)
    assert (explained.agrees, explained.lines) == (True, [])
    assert verify(engine).discrepancies == []
    months = (tmp_path / "october.csv", tmp_path / "november.csv")
    export_month(engine, OCTOBER, months[0])
    export_month(engine, NOVEMBER, months[1])
    export_days(engine, OCTOBER, tmp_path / "days.csv")
    assert offline.verify([*months, tmp_path / "days.csv"])[1] == []


def test_usage_of_history_is_not_corrected(engine: Engine, platform: Platform) -> None:
    """The installation is of 2024; a month before it has no bill."""
    project = platform.project(platform.organization("paid"))
    about = Adjustment(project, "logs", 5, None, date(2023, 8, 3), "late", "a@cli")
    with transaction(engine) as connection, pytest.raises(AdjustmentRefused, match="its usage is history"):
        adjustments.post(connection, about, IN_EUROS, IN_NOVEMBER)
