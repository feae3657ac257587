"""Limits of the running month: usage, states, and the day on which an allowance will be exhausted."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from metering.catalogue import projects
from metering.catalogue.periods import Day, Month
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.months import adjustments
from metering.months.adjustment import Adjustment
from metering.pricing import plans
from metering.pricing.month_versions import in_month
from metering.pricing.plans import Plans
from metering.running import allowances, burn_down, limit_states, month_use
from metering.running.burn_down import LimitsQuery
from tests.support.closed_months import count
from tests.support.platform import Platform

NOVEMBER = Month.parse("2026-11")
AT = datetime(2026, 11, 11, tzinfo=UTC)  # ten days of thirty are over


def offered(included: int, limit: str = "soft") -> Plans:
    meters = {"mqtt_inbound": {"included": included, "limit": limit}, "device_count": {"included": 5}}
    version = {"effective": "2026-01-01", "currency": "EUR", "tiers": {"pro": {"meters": meters}}}
    return Plans.model_validate({"versions": [version]})


def limits(engine: Engine, terms: Plans, query: LimitsQuery, at: datetime = AT) -> list[Any]:
    with engine.connect() as connection:
        return list(burn_down.limits(connection, in_month(terms, Month.of(at)), at, False, query))


def of(engine: Engine, terms: Plans, project: int, at: datetime = AT) -> Any:
    (row,) = limits(engine, terms, LimitsQuery(project=project, meter="mqtt_inbound"), at)
    return row


@pytest.fixture
def project(platform: Platform) -> int:
    return platform.project(platform.organization("pro"), created_at=NOVEMBER.start)


def simulated(quantity: int, used: int, included: int, elapsed: int) -> datetime | None:
    """Count on hour by hour at the average rate, until nothing is left or the month is over."""
    at = AT
    while at < NOVEMBER.end:
        at += timedelta(hours=1)
        hours = (at - AT).total_seconds() / 3600
        if used + quantity * hours / elapsed >= included:
            return at
    return None


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(quantity=st.integers(1, 9_000), corrected=st.integers(-2_000, 2_000), included=st.integers(1, 20_000))
def test_exhaustion_is_that_of_a_plain_simulation(
    engine: Engine, platform: Platform, quantity: int, corrected: int, included: int
) -> None:
    organization = platform.organization("pro")
    project = platform.project(organization, created_at=NOVEMBER.start)
    count(engine, organization, project, quantity, AT - timedelta(days=4))
    corrected = max(corrected, -quantity) or 1  # no more is taken off than was used
    about = Adjustment(project, "mqtt_inbound", corrected, None, date(2026, 11, 3), "recount", "a@cli")
    terms = offered(included)
    with transaction(engine) as connection:
        adjustments.post(connection, about, terms, AT)
    row = of(engine, terms, project)
    used = quantity + corrected
    assert row["used"] == used
    expected = None if used >= included else simulated(quantity, used, included, elapsed=240)
    if expected is None:
        assert row["exhausted_at"] is None
    else:
        assert timedelta(0) <= expected - row["exhausted_at"] <= timedelta(hours=1, seconds=1)
    assert row["projected"] == used + quantity * 2  # 20 days remain after 10
    assert row["state"] == limit_states.state(used, included, False)


def test_nothing_is_projected_of_what_is_unknown_or_too_new(
    engine: Engine, platform: Platform, project: int
) -> None:
    with transaction(engine) as connection:
        projects.ensure(connection, [project], AT)
    row = of(engine, offered(100), project)
    assert (row["used"], row["share"], row["state"], row["projected"]) == (None, None, "unknown", None)
    young = platform.project(platform.scalar("SELECT organization_id FROM projects"), created_at=AT)
    count(engine, platform.scalar("SELECT organization_id FROM projects"), young, 90, AT)
    row = of(engine, offered(100), young, AT + timedelta(hours=5))
    assert (row["used"], row["state"], row["exhausted_at"], row["projected"]) == (90, "near", None, None)


@pytest.mark.parametrize(
    ("used", "state", "hard"),
    [
        (79, "ok", "ok"),
        (80, "near", "near"),
        (99, "near", "near"),
        (100, "over", "hard"),
        (101, "over", "hard"),
    ],
)
def test_a_state_changes_where_an_alert_opens(
    engine: Engine, platform: Platform, project: int, used: int, state: str, hard: str
) -> None:
    count(engine, platform.scalar("SELECT organization_id FROM projects"), project, used, AT)
    assert of(engine, offered(100), project)["state"] == state == limit_states.state(used, 100, False)
    assert of(engine, offered(100, "hard"), project)["state"] == hard == limit_states.state(used, 100, True)
    with engine.connect() as connection:
        versions = in_month(offered(100), Month.of(AT))
        listed = allowances.projects(connection, versions, AT, limit_states.NEAR / 100, False)
    assert bool(listed) == (state != "ok")


def test_limits_are_found_sorted_and_paged(engine: Engine, platform: Platform) -> None:
    organization = platform.organization("pro", name="Harbour_1")
    ids = [platform.project(organization, created_at=NOVEMBER.start, name=f"Robot {n}") for n in range(4)]
    for project, used in zip(ids, (30, 900, 90, 0), strict=True):
        count(engine, organization, project, used, AT - timedelta(days=1))
    terms = offered(100)

    def listed(**selection: Any) -> list[int]:
        rows = limits(engine, terms, LimitsQuery(meter="mqtt_inbound", **selection))
        return [ids.index(row["project_id"]) for row in rows]

    assert listed() == [1, 2, 0, 3]
    assert listed(ascending=True) == [3, 0, 2, 1]
    assert listed(near=0.8) == [1, 2]
    assert listed(state="near") == [2]
    assert listed(words="robot 2") == [2]
    assert listed(words="harbour%") == []
    assert listed(most=2, skipped=1) == [2, 0]
    assert listed(organization=organization + 1) == []
    assert listed(exhausting=True) == [2]  # 3 a day of 100 last the month
    count(engine, organization, ids[0], 15, AT - timedelta(days=1))
    count(engine, organization, ids[2], 5, AT - timedelta(days=1))
    assert listed(exhausting=True) == [2, 0]
    with engine.connect() as connection:
        versions = in_month(terms, Month.of(AT))
        states = burn_down.states_of(connection, versions, AT, False, [organization])
    assert states == {organization: {"over": 1, "near": 1}}
    assert (
        len(limits(engine, terms, LimitsQuery())) == 8
    )  # every meter of the tier, also those of unknown usage


def test_the_days_of_a_month_add_up_to_its_use(engine: Engine, platform: Platform, project: int) -> None:
    organization = platform.scalar("SELECT organization_id FROM projects")
    for day in (2, 5, 9):
        count(engine, organization, project, 10 * day, NOVEMBER.start + timedelta(days=day - 1, hours=3))
    with transaction(engine) as connection:
        seal_through(connection, Day(date(2026, 11, 7)), projects.ids(connection), AT)
    about = Adjustment(project, "mqtt_inbound", 7, None, date(2026, 11, 3), "recount", "a@cli")
    terms = plans.load(None)
    with transaction(engine) as connection:
        adjustments.post(connection, about, terms, AT)
        used = month_use.by_day(connection, project, "mqtt_inbound", AT)
    ends = month_use.cumulative(used, adds_up=True)
    assert [day.date.day for day in used] == list(range(1, 12))
    assert ends[-1] == of(engine, offered(100), project)["used"] == 167
    assert ends[:7] == [None] * 7  # no counter said that it was there on those days
    levels = month_use.cumulative(used, adds_up=False)
    assert levels == [day.quantity for day in used]
