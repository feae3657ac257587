"""Customers and the burn-down of limits: figures on the pages are those of SQL and of the commands."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from console.data import spending
from console.data.spending import Spending
from console.ui import limit_states, revenue_chart
from console.ui.revenue_chart import Revenue
from console.views.billing import bills_table
from console.views.billing import revenue as revenue_view
from metering.catalogue.periods import Month
from metering.db.transactions import transaction
from metering.pricing import plans
from metering.running import organization_spend, spend
from metering.running.spend import Spend
from tests.support.fleet import Fleet
from tests.support.platform import Platform

Open = Callable[..., AppTest]
NOVEMBER = Month.parse("2026-11")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages wait for the running month to be rated, however busy the machine is."""
    monkeypatch.setattr(spending, "PATIENCE", 60)


def frame(page: AppTest, *columns: str) -> Any:
    """The table that has those columns."""
    return next(each.value for each in page.dataframe if set(columns) <= set(each.value.columns))


def spends(engine: Engine) -> list[Spend]:
    with transaction(engine) as connection:
        return spend.by_project(connection, plans.load(None), datetime.now(UTC))


def test_customers_are_listed_with_what_the_commands_say(
    open_page: Open, fleet: Fleet, engine: Engine
) -> None:
    page = open_page("customers")
    listed = frame(page, "Customer", "Bill so far")
    (own,) = organization_spend.by_organization(spends(engine))
    row = listed.set_index("Id").loc[own.organization_id]
    assert Decimal(str(row["Bill so far"])) == own.so_far
    assert row["Active projects"] == len(fleet.projects)
    last = Platform(engine).scalar("SELECT sum(total_charge) FROM monthly_stats")
    assert Decimal(str(row["Last month"])) == last


def test_a_customer_adds_up_to_its_projects(open_page: Open, fleet: Fleet, engine: Engine) -> None:
    (own,) = organization_spend.by_organization(spends(engine))
    page = open_page("customers", organization=str(own.organization_id))
    figures = {metric.label: metric.value for metric in page.metric}
    assert figures["Bill so far"] == f"{own.so_far:,} USD"
    projects = frame(page, "Project", "Bill so far", "Last month")
    assert Decimal(str(round(projects["Bill so far"].sum(), 2))) == own.so_far
    total = Platform(engine).scalar("SELECT sum(total_charge) FROM monthly_stats")
    assert figures[f"Bill of {fleet.closed}"] == f"{total:,} USD"
    changed = frame(page, "What", "Change")
    assert Decimal(str(round(changed["Change"].sum(), 2))) == total
    assert "that exists" in open_page("customers", organization="999999").warning[0].value


def test_currencies_are_listed_apart(open_page: Open, fleet: Fleet, engine: Engine) -> None:
    platform = Platform(engine)
    platform.sql("ALTER TABLE monthly_stats DISABLE TRIGGER USER")
    platform.sql("UPDATE monthly_stats SET currency = 'EUR' WHERE project_id = :id", id=fleet.projects[0])
    totals = dict(platform.rows("SELECT currency, sum(total_charge) FROM monthly_stats GROUP BY currency"))
    listed = frame(open_page("customers"), "Last month", "Currency")
    assert {row["Currency"]: row["Last month"] for _, row in listed.iterrows()} == {
        currency: float(total) for currency, total in totals.items()
    }
    billed = frame(open_page("billing", month=str(fleet.closed)), "Bills", "As billed", "Currency")
    assert {row["Currency"]: row["As billed"] for _, row in billed.iterrows()} == {
        currency: float(total) for currency, total in totals.items()
    }


def test_totals_by_customer_and_upcoming_bills_are_the_commands_figures(
    open_page: Open, fleet: Fleet, engine: Engine
) -> None:
    closed = open_page("billing", month=str(fleet.closed))
    total = Platform(engine).scalar("SELECT sum(total_charge) FROM monthly_stats")
    assert Decimal(str(frame(closed, "Bills", "As billed")["As billed"].sum())) == total
    running = open_page("billing", month=str(NOVEMBER.of(datetime.now(UTC))))
    upcoming = frame(running, "Project", "Charged so far").set_index("Id")["Charged so far"]
    assert {number: Decimal(f"{amount:.2f}") for number, amount in upcoming.items()} == {
        one.project_id: one.so_far for one in spends(engine)
    }


def test_only_what_differs_is_a_column_of_bills() -> None:
    bill = {column.key: None for column in bills_table.BILLS} | {"currency": "USD", "project_id": 1}
    bill |= {"total_charge": Decimal(5), "corrected": Decimal(5), "days_present": 31, "days_expected": 31}
    usual = {column.key for column in bills_table.differing([bill, bill])}
    assert usual.isdisjoint({"corrected", "currency", "days_present", "adjustment_charge", "notes"})
    assert {"project", "total_charge", "plan_fee"} <= usual
    other = bill | {"corrected": Decimal(4), "currency": "EUR", "days_present": 30, "notes": "moved"}
    differing = {column.key for column in bills_table.differing([bill, other])}
    assert {"corrected", "currency", "days_present", "days_expected", "notes"} <= differing


def test_revenue_keeps_currencies_apart_and_leaves_months_without_bills_empty() -> None:
    october, spent = (
        NOVEMBER.previous(),
        spend.Spend(1, "p", 7, "Acme", "pro", Decimal(3), Decimal(9), "USD", Decimal(0), None),
    )
    row = {"month": october, "key": "7", "organization": "Acme <b>", "as_billed": Decimal(10)}
    rows = [row | {"currency": "USD", "as_corrected": Decimal(11)}]
    rows += [row | {"currency": "EUR", "as_corrected": Decimal(500)}]
    rating = Spending(NOVEMBER.start, (spent,), {"USD": Decimal(3)}, {"USD": Decimal(9)}, {}, {})
    chart = revenue_view.of(rows, "USD", "as_corrected", "organization", NOVEMBER, rating)
    assert chart.series == {"Acme &lt;b&gt; · 7": {october: Decimal(11)}}
    assert (chart.so_far, chart.projected) == ({"Acme · 7": Decimal(3)}, Decimal(9))
    assert len(chart.months) == 13


def test_many_series_are_added_up_to_the_same_total() -> None:
    months = [NOVEMBER.previous(), NOVEMBER]
    series = {f"customer {n}": {months[0]: Decimal(n)} for n in range(20)}
    series_shown = revenue_chart._top(Revenue("USD", months, series, {"customer 3": Decimal(1)}))
    assert len(series_shown) == revenue_chart.SERIES
    assert sum(sum(amounts.values()) for amounts in series_shown.values()) == sum(range(20)) + 1


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"used": None}, "unknown"),
        ({"exhausted_at": datetime(2026, 11, 29, 5, tzinfo=UTC)}, "reaches 100 % on 2026-11-29"),
        ({"state": "over"}, "reached"),
        ({"projected": None}, "not projected yet"),
        ({}, "lasts the month"),
    ],
)
def test_when_an_allowance_runs_out_is_said_or_why_not(row: dict[str, Any], words: str) -> None:
    usual = {"used": 5, "included": 10, "exhausted_at": None, "state": "ok", "projected": 6, "hard": False}
    assert limit_states.reached(usual | row) == words


def test_limits_are_sorted_by_the_day_on_which_they_run_out() -> None:
    days = [datetime(2026, 12, day, tzinfo=UTC) for day in (4, 14, 21)]
    words = [limit_states.reached({"used": 5, "exhausted_at": day}) for day in days]
    assert words == sorted(words)


def test_an_allowance_in_proportion_says_so() -> None:
    row = {"used": 11, "included": 10, "hard": False, "in_proportion": True}
    assert limit_states.beyond(row) == "is charged; in proportion"


def test_a_hard_limit_is_not_said_to_refuse() -> None:
    row = {"used": 11, "included": 10, "hard": True, "state": "hard"}
    assert limit_states.beyond(row) == "hard limit; not enforced: still counting"
    assert limit_states.beyond(row | {"used": 10}) == "hard limit"
    assert limit_states.label(row).label == "▲ over a hard limit"
    assert limit_states.label(row | {"used": 10, "state": "over"}).label == "▲ at the limit"


def test_a_burn_down_ends_where_the_table_says(open_page: Open, fleet: Fleet, engine: Engine) -> None:
    project = fleet.projects[0]
    page = open_page("limits", project=str(project), meter="mqtt_inbound")
    assert not page.exception
    row = frame(page, "Used", "Included", "Meter").iloc[0]
    used = Platform(engine).scalar(
        "SELECT mqtt_inbound FROM project_stats WHERE project_id = :id", id=project
    )
    assert (row["Used"], row["Meter"]) == (used, "MQTT messages in")
    assert row["Used of included"] == pytest.approx(used / row["Included"])
    everyone = frame(open_page("limits", share="0", meter="mqtt_inbound"), "Used", "Included")
    assert len(everyone) == len(fleet.projects)
    assert list(everyone["Used"]) == sorted(everyone["Used"], reverse=True)
