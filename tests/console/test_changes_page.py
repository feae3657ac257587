"""Changes on a real database: contributions equal SQL, one click further, refused addresses, scope."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from console.data.changes.contributions import DIMENSIONS
from console.data.transactions import read_transaction_as
from console.views.changes import contributions_table, reading
from console.views.changes.question import read
from tests.support.fleet import Fleet
from tests.support.platform import Platform
from tests.support.two_tenants import ORGANIZATION, PROJECTS, TwoTenants

Open = Callable[..., AppTest]
IS_MEASURED = "coverage->'mqtt'->>'state' NOT IN ('missing', 'not_configured', 'not_started')"


def question_of(**address: str) -> Any:
    question, wrong = read(address, datetime.now(UTC).date())
    assert wrong == []
    return question


def plain(platform: Platform, meter: str, days: tuple[date, date]) -> dict[int, int]:
    """What each project used, a row at a time; projects without a known day are not in it."""
    rows = platform.rows(
        f"""SELECT project_id, {meter} FROM daily_stats
        WHERE date BETWEEN :first AND :last AND {IS_MEASURED}""",
        first=days[0],
        last=days[1],
    )
    used: dict[int, int] = {}
    for project, value in rows:
        used[int(str(project))] = used.get(int(str(project)), 0) + int(str(value))
    return used


@pytest.mark.parametrize("meter", ["mqtt_inbound", "mqtt_outbound_bytes"])
def test_contributions_equal_the_rows_of_both_periods(meter: str, engine: Engine, fleet: Fleet) -> None:
    question = question_of(meters=meter)
    with read_transaction_as(None) as page:
        comparison = reading.read(page.connection, question, page.at).comparison
    before, after = (plain(Platform(engine), meter, days) for days in (question.before, question.after))
    incomparable = {one.project for one in comparison.incomparable}
    assert comparison.by["project"]
    for part in comparison.by["project"]:
        assert part.before == before.get(part.key, 0)
        assert part.after == after.get(part.key, 0)
    assert {part.key for part in comparison.by["project"]} | incomparable == set(before) | set(after)
    for dimension in DIMENSIONS:
        assert sum(part.change for part in comparison.by[dimension]) == comparison.change


def test_a_contribution_leads_one_step_further_and_to_its_hours(open_page: Open, fleet: Fleet) -> None:
    question = question_of(by="organization", meters="mqtt_inbound")
    with read_transaction_as(None) as page:
        change = reading.read(page.connection, question, page.at)
    largest = change.comparison.by["organization"][0]
    query = contributions_table.step(question, largest)
    assert query["where"] == f"organization:{largest.key}"
    assert query["by"] == "project"
    opened_page = open_page("changes", **query)
    assert not opened_page.exception
    assert [metric.label for metric in opened_page.metric][-1] == "Change"
    assert f"where=organization%3A{largest.key}" in question.explored(query["where"], "hour")
    assert "grain=hour" in question.explored(query["where"], "hour")


def test_a_projects_devices_and_the_other_ones_are_its_change(
    open_page: Open, engine: Engine, fleet: Fleet
) -> None:
    project = fleet.projects[0]
    address = {"by": "device", "meters": "mqtt_inbound", "where": f"project:{project}"}
    question = question_of(**address)
    for day, device, messages in (
        (question.before[0], "arm", 60),
        (question.after[0], "arm", 30),
        (question.after[1], "arm", 9),
        (question.after[1], "leg", 40),
    ):
        Platform(engine).sql(
            """INSERT INTO device_usage_daily (project_id, date, device, mqtt_inbound)
            VALUES (:project, :day, :device, :messages)""",
            project=project,
            day=day,
            device=device,
            messages=messages,
        )
    before, after = (
        plain(Platform(engine), "mqtt_inbound", days)[project] for days in (question.before, question.after)
    )
    with read_transaction_as(None) as page:
        change = reading.read(page.connection, question, page.at)
    parts = {change.label("device", part): part.change for part in change.comparison.by["device"]}
    assert parts == {"arm": -21, "leg": 40, "other devices": (after - 79) - (before - 60)}
    assert sum(parts.values()) == change.comparison.change == after - before
    opened_page = open_page("changes", **address)
    assert not opened_page.exception
    assert "lower bound" in " ".join(one.value for one in opened_page.caption)


def test_devices_of_several_projects_are_refused() -> None:
    for where in ("", "project:1,project:2", "project:1,tier:pro"):
        question, wrong = read({"by": "device", "where": where}, datetime.now(UTC).date())
        assert question.by == "project"
        assert "one project alone" in wrong[0]


def test_a_wrong_address_is_named(open_page: Open, fleet: Fleet) -> None:
    page = open_page("changes", meters="api_calls,storage_bytes", by="moon", before_from="x")
    words = "\n".join(element.value for element in page.warning)
    assert "by" in words
    assert "moon" in words
    assert "cannot be added" in words
    assert "before" in words
    assert not page.exception


def test_an_organizations_people_see_their_own_change_only(engine: Engine, rivals: TwoTenants) -> None:
    question = question_of(by="organization", meters="mqtt_inbound")
    change_of = {}
    for scope in (None, (rivals.organization,)):
        with read_transaction_as(scope) as page:
            change_of[scope] = reading.read(page.connection, question, page.at)
    own = change_of[rivals.organization,]
    assert {part.key for part in own.comparison.by["organization"]} == {rivals.organization}
    assert not set(PROJECTS) & set(own.projects)
    assert ORGANIZATION in {part.key for part in change_of[None].comparison.by["organization"]}


def test_money_compares_closed_months_and_counts_no_open_one(engine: Engine, fleet: Fleet) -> None:
    question = question_of(meters="charge", range="month")
    assert question.after[1] < datetime.now(UTC).date().replace(day=1)
    assert question.before[1] + timedelta(days=1) == question.after[0]
    with read_transaction_as(None) as page:
        change = reading.read(page.connection, question, page.at)
    billed = Platform(engine).scalar(
        """SELECT sum(total_charge) FROM monthly_stats WHERE make_date(year, month, 1) = :first
            AND currency = :currency""",
        first=question.after[0],
        currency=change.currency,
    )
    incomparable = sum(one.after or 0 for one in change.comparison.incomparable)
    assert change.comparison.after + incomparable == billed
