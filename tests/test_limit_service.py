"""LimitService: what is allowed, and why."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine

from metering.catalogue.periods import Month
from metering.config.settings import Settings
from metering.days.seal import seal_through
from metering.db.engine import open_engine
from metering.db.transactions import transaction
from metering.errors import FleetmeterError, PlanError, UnknownProject
from metering.ledger.gauges import record_gauges
from metering.ledger.mqtt import MqttUsage, add_mqtt
from metering.months.close import close_month
from metering.pricing import plans
from metering.pricing.plans import Plans
from metering.running.limits import LimitService
from tests.support.platform import Platform, hours

OCTOBER = Month.parse("2026-10")
NOVEMBER = Month.parse("2026-11")
NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
HARD = {"included": 10_000, "limit": "hard"}
METERS: dict[str, Any] = {
    "mqtt_inbound": HARD,
    "mqtt_outbound": {"included": 10_000, "overage": {"model": "per_unit", "price": "0.1"}},
    "storage_bytes": HARD,
    "device_count": HARD | {"included": 2},
}
OFFERED = Plans.model_validate(
    {
        "versions": [
            {
                "effective": "2026-01-01",
                "currency": "EUR",
                "tiers": {"free": {"projects": 2, "users": 3, "meters": METERS}, "pro": {}},
            }
        ]
    }
)


@pytest.fixture
def limits(engine: Engine) -> LimitService:
    return LimitService(engine, OFFERED, lambda: NOW)


def fleet(platform: Platform, tier: str = "free", created_at: datetime | None = None) -> tuple[int, int]:
    organization = platform.organization(tier)
    return organization, platform.project(organization, created_at=created_at or OCTOBER.start)


def count(engine: Engine, key: tuple[int, int], at: datetime, inbound: int, outbound: int = 0) -> None:
    with transaction(engine) as connection:
        add_mqtt(connection, {key: MqttUsage(inbound, outbound, 0, 0, "topic")}, at)


def sample(engine: Engine, project: int, source: Any, **levels: int) -> None:
    with transaction(engine) as connection:
        record_gauges(connection, source, {project: levels}, NOW)


def close(engine: Engine, project: int, month: Month = OCTOBER, offered: Plans = OFFERED) -> None:
    with transaction(engine) as connection:
        assert close_month(connection, month, [project], offered, NOW, "a@cli").closed == 1


def test_the_answer_says_why(engine: Engine, platform: Platform, limits: LimitService) -> None:
    key = fleet(platform, created_at=NOVEMBER.start)
    sample(engine, key[1], "s3", s3_storage_bytes=9_812)
    answer = limits.check_storage_limit(*key, 500)
    assert (answer.allowed, answer.used, answer.limit, answer.remaining) == (False, 9_812, 10_000, 188)
    assert answer.reason == "storage_bytes: used 9,812 of 10,000; this request 500"
    assert limits.check_storage_limit(*key, 188).allowed


def test_the_last_message_of_a_hard_limit_is_allowed_and_no_more(
    engine: Engine, platform: Platform, limits: LimitService
) -> None:
    key = fleet(platform, created_at=NOVEMBER.start)
    count(engine, key, NOW, 9_999)
    assert limits.check_mqtt_inbound_limit(*key).allowed
    count(engine, key, NOW, 1)
    refused = limits.check_mqtt_inbound_limit(*key)
    assert (refused.allowed, refused.used, refused.remaining) == (False, 10_000, 0)


def test_a_soft_limit_allows_more_and_says_that_it_is_charged(
    engine: Engine, platform: Platform, limits: LimitService
) -> None:
    key = fleet(platform, created_at=NOVEMBER.start)
    count(engine, key, NOW, 0, outbound=12_000)
    answer = limits.check_mqtt_outbound_limit(*key)
    assert (answer.allowed, answer.limit, answer.remaining) == (True, 10_000, 0)
    assert answer.reason.endswith("more than included is charged")


def test_what_the_plan_does_not_limit_is_without_limit(platform: Platform, limits: LimitService) -> None:
    key = fleet(platform, tier="pro")
    for answer in (limits.check_ecr_image_limit(*key), limits.check_project_limit(key[0])):
        assert (answer.allowed, answer.limit, answer.remaining) == (True, None, None)
        assert "no limit" in answer.reason


def test_unknown_usage_is_said_and_is_not_zero(platform: Platform, limits: LimitService) -> None:
    key = fleet(platform)
    answer = limits.check_device_limit(*key)
    assert (answer.allowed, answer.used, answer.remaining) == (True, None, None)
    assert "unknown" in answer.reason
    assert not limits.check_storage_limit(*key, 10_001).allowed, "it cannot fit whatever was used"


def test_organizations_are_limited_in_projects_and_users(platform: Platform, limits: LimitService) -> None:
    organization, _ = fleet(platform)
    assert limits.check_project_limit(organization).remaining == 1
    other = platform.project(organization)
    assert not limits.check_project_limit(organization).allowed
    platform.deactivate(other, NOW)
    assert limits.check_project_limit(organization).allowed
    platform.sql("INSERT INTO users (organization_id, email) VALUES (:o, 'a'), (:o, 'b')", o=organization)
    assert limits.check_user_limit(organization, 1).allowed
    assert not limits.check_user_limit(organization, 2).allowed


def test_objects_with_an_id_will_do(engine: Engine, platform: Platform, limits: LimitService) -> None:
    organization, project = fleet(platform)
    count(engine, (organization, project), NOW, 3)
    answer = limits.check_mqtt_inbound_limit(SimpleNamespace(id=organization), SimpleNamespace(id=project))
    assert answer.used == 3


@pytest.mark.parametrize("closed_before", [False, True])
def test_while_the_month_before_is_not_closed_only_the_running_one_counts(
    engine: Engine, platform: Platform, limits: LimitService, closed_before: bool
) -> None:
    september = OCTOBER.previous()
    key = fleet(platform, created_at=september.start)
    count(engine, key, september.start + hours(5), 100)
    if closed_before:
        close(engine, key[1], september)
    count(engine, key, OCTOBER.start + hours(5), 1_000)
    count(engine, key, OCTOBER.end - hours(1), 2_000)
    count(engine, key, NOVEMBER.start + hours(5), 30)
    assert limits.check_mqtt_inbound_limit(*key).used == 30, "hours of October not sealed yet"
    with transaction(engine) as connection:
        seal_through(connection, OCTOBER.last, [key[1]], NOW)
    assert limits.check_mqtt_inbound_limit(*key).used == 30, "days of October not closed yet"
    if not closed_before:
        close(engine, key[1], september)
    close(engine, key[1])
    assert limits.check_mqtt_inbound_limit(*key).used == 30, "October closed"
    assert platform.scalar("SELECT mqtt_inbound FROM project_stats") == 30


def test_another_organizations_project_is_refused(platform: Platform, limits: LimitService) -> None:
    mine, other = fleet(platform), fleet(platform)
    with pytest.raises(UnknownProject, match=f"no project {other[1]} in organization {mine[0]}"):
        limits.check_mqtt_inbound_limit(mine[0], other[1])


@pytest.mark.parametrize("nobody", [0, -1, 999_999, 10**30])
def test_nobody_is_one_sentence(platform: Platform, limits: LimitService, nobody: int) -> None:
    organization, _ = fleet(platform)
    for ask in (
        lambda: limits.check_project_limit(nobody),
        lambda: limits.check_user_limit(nobody, 1),
        lambda: limits.check_device_limit(organization, nobody),
    ):
        with pytest.raises(UnknownProject, match="the platform has no"):
            ask()


def test_a_tier_in_no_plan_names_the_organization(platform: Platform, limits: LimitService) -> None:
    key = fleet(platform, tier="platinum")
    with pytest.raises(PlanError, match=f"organization {key[0]}: the plans name no tier 'platinum'"):
        limits.check_device_limit(*key)


def test_a_check_writes_nothing(engine: Engine, platform: Platform) -> None:
    key = fleet(platform)
    readonly = engine.execution_options(postgresql_readonly=True)
    assert LimitService(readonly, plans.load(None), lambda: NOW).check_mqtt_inbound_limit(*key).used is None
    assert platform.scalar("SELECT count(*) FROM project_stats") == 0


def test_a_negative_request_is_refused(platform: Platform, limits: LimitService) -> None:
    key = fleet(platform)
    with pytest.raises((FleetmeterError, ValueError), match="asks for nothing"):
        limits.check_storage_limit(*key, -5)


def test_a_connection_that_died_in_the_pool_is_replaced(configured: Settings, platform: Platform) -> None:
    """It is not tried before each check, which would take as long as the check."""
    key = fleet(platform)
    engine = open_engine(configured, "limits", ping=False)
    service = LimitService(engine, OFFERED, lambda: NOW)
    service.check_device_limit(*key)
    platform.sql(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'limits'"
    )
    assert service.check_device_limit(*key).limit == 2
    engine.dispose()
