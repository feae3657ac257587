"""Explain: every number of a charge, from the total to the hours."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import Engine

from metering.catalogue.periods import Day
from metering.db.transactions import transaction
from metering.errors import PeriodError, UnknownProject
from metering.months import adjustments, explain, explanation, gaps, invoice
from metering.months.adjustment import Adjustment
from metering.pricing import plans
from tests.support.closed_months import MID_OCTOBER, OCTOBER, close, closed_october, count
from tests.support.gaps import open_gap
from tests.support.platform import Platform


def test_a_charge_is_walked_down_to_its_hours(engine: Engine, platform: Platform) -> None:
    organization = platform.organization("starter")
    project = platform.project(organization, created_at=OCTOBER.start)
    count(engine, organization, project, 1_500_000)
    with transaction(engine) as connection:
        correction = Adjustment(project, "mqtt_inbound", 700_000, None, date(2026, 10, 2), "late", "a@cli")
        adjustments.post(connection, correction, plans.load(None), datetime(2026, 10, 20, tzinfo=UTC))
    close(engine, [project])
    with engine.connect() as connection:
        explained = explain.explain(connection, project, OCTOBER)
    assert explained.agrees
    line = next(each for each in explained.lines if each.line.meter == "mqtt_inbound")
    assert line.line.charge == Decimal("2.00")
    assert sum(day.quantity or 0 for day in line.days) + line.adjusted == line.line.used == 2_200_000
    assert [day.hours for day in line.days if day.quantity] == [{MID_OCTOBER: 1_500_000}]
    rendered = "\n".join(explanation.render(explained))
    assert "total 31.00 USD = plan fee 29.00 + overage 2.00 + adjustments 0.00" in rendered
    assert (
        "2,200,000 used - 1,000,000 included = 1,200,000 over; "
        "package: 2 packages of 1,000,000 x 1.00 = 2.00 -> 2.00"
    ) in rendered
    assert "MQTT messages in, Starter tier: 2,200,000 used" in rendered
    proof = rendered.partition("\nProof\n")[2]
    assert f"seal {explained.bill['seal']}" in proof
    assert all(f"{day.date} {day.row_hash}" in proof for day in line.days)
    assert "days 1,500,000 + adjustments 700,000 = 2,200,000" in rendered
    assert "Storage, Starter tier: never sampled: unknown, nothing charged" in rendered


def test_an_invoice_has_the_same_figures_and_words(engine: Engine, platform: Platform) -> None:
    (project,) = closed_october(engine, platform)
    with engine.connect() as connection:
        explained = explain.explain(connection, project, OCTOBER, with_hours=False)
        hours = explain.hours_of(connection, project, Day.of(MID_OCTOBER), "mqtt_inbound")
        of_day = explain.explain(connection, project, OCTOBER)
    line = next(each for each in invoice.lines(explained) if each.meter == "mqtt_inbound")
    assert (line.title, line.tier, line.terms) == (
        *("MQTT messages in", "Starter tier"),
        "1.00 for each started 1,000,000",
    )
    assert (line.quantity, line.included, line.beyond) == (1_500_000, 1_000_000, 500_000)
    assert line.amount == Decimal("1.00")
    assert sum(each.amount for each in invoice.lines(explained)) == explained.bill["overage_charge"]
    assert all(not day.hours for day in line.explained.days)
    assert hours == {MID_OCTOBER: 1_500_000}
    assert list(explanation.render(of_day))[:3] == list(explanation.render(explained))[:3]


def test_what_was_not_measured_and_who_accepted_it_is_told(engine: Engine, platform: Platform) -> None:
    project = platform.project(platform.organization("starter"), created_at=OCTOBER.start)
    with transaction(engine) as connection:
        open_gap(connection, "mqtt", MID_OCTOBER, OCTOBER.end, "session lost", [project])
        gaps.accept(connection, 1, "maintenance", "a@cli", OCTOBER.end)
    close(engine, [project])
    with engine.connect() as connection:
        explained = explain.explain(connection, project, OCTOBER)
    assert (
        "gap 1: mqtt was blind from 2026-10-15 12:00 to 2026-11-01 00:00 UTC (session lost), "
        "accepted by a@cli: maintenance"
    ) in list(explanation.render(explained))
    assert [gap["id"] for gap in explanation.as_json(explained)["gaps"]] == [1]


def test_what_is_not_closed_has_no_charge_to_explain(engine: Engine, platform: Platform) -> None:
    project = platform.project()
    with engine.connect() as connection:
        with pytest.raises(PeriodError, match="2026-10 is not closed"):
            explain.explain(connection, project, OCTOBER)
        with pytest.raises(UnknownProject):
            explain.explain(connection, 999_999, OCTOBER)
