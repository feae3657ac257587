"""Counting: what arrives is in the ledger and in the running totals, once, or is unattributed."""

import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from metering.catalogue import history, projects
from metering.catalogue.periods import Hour
from metering.db.transactions import transaction
from metering.ledger import own_usage
from metering.ledger.gauges import record_gauges
from metering.ledger.mqtt import MAX_SAMPLES, SAMPLE_LENGTH, MalformedTopics, MqttUsage, add_mqtt
from metering.ledger.own_usage import Usage
from metering.ledger.partitions import ensure_partitions
from tests.support.platform import Platform, hours

AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)


def count(engine: Engine, key: tuple[int, int], at: datetime = AT, inbound: int = 1) -> None:
    with transaction(engine) as connection:
        add_mqtt(connection, {key: MqttUsage(inbound, 2, 10 * inbound, 20, f"roboticks/{key}")}, at)


def test_messages_are_in_the_hour_and_in_the_running_total(engine: Engine, platform: Platform) -> None:
    organization = platform.organization()
    project = platform.project(organization)
    count(engine, (organization, project), inbound=3)
    count(engine, (organization, project), inbound=4)
    hour = platform.rows("SELECT hour, mqtt_inbound, mqtt_outbound FROM usage_hourly")
    assert hour == [(datetime(2026, 11, 24, 10, tzinfo=UTC), 7, 4)]
    live = platform.rows(
        "SELECT mqtt_inbound, mqtt_outbound, mqtt_inbound_bytes, mqtt_outbound_bytes FROM project_stats"
    )
    assert live == [(7, 4, 70, 40)]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda org, project: (org, project + 1_000), "unknown_project"),
        (lambda org, project: (org + 1_000, project), "organization_mismatch"),
        (lambda org, project: (org, 2**63 - 1), "unknown_project"),
    ],
)
def test_what_matches_no_project_is_unattributed_with_its_reason(
    engine: Engine, platform: Platform, wrong: object, reason: str
) -> None:
    organization = platform.organization()
    project = platform.project(organization)
    count(engine, wrong(organization, project), inbound=5)  # type: ignore[operator]
    assert platform.rows("SELECT reason, messages FROM unattributed_messages") == [(reason, 7)]
    assert platform.scalar("SELECT count(*) FROM usage_hourly") == 0


def test_a_stray_topic_of_a_project_in_the_same_flush_is_not_its_usage(
    engine: Engine, platform: Platform
) -> None:
    organization = platform.organization()
    project = platform.project(organization)
    usage = {
        (organization, project): MqttUsage(1, 0, 1, 0, "topic"),
        (organization + 1, project): MqttUsage(5, 0, 5, 0, "stray"),
    }
    with transaction(engine) as connection:
        add_mqtt(connection, usage, AT)
    assert platform.scalar("SELECT mqtt_inbound FROM project_stats") == 1
    assert platform.scalar("SELECT mqtt_inbound FROM usage_hourly") == 1
    assert platform.rows("SELECT reason, messages FROM unattributed_messages") == [
        ("organization_mismatch", 5)
    ]


def test_a_topic_of_a_former_organization_counts_for_the_project_and_is_named(
    engine: Engine, platform: Platform
) -> None:
    seller, buyer = platform.organization(), platform.organization()
    project = platform.project(seller)
    with transaction(engine) as connection:
        history.read(connection, AT - hours(1))
    platform.sql("UPDATE projects SET organization_id = :buyer WHERE id = :id", buyer=buyer, id=project)
    usage = {
        (seller, project): MqttUsage(3, 1, 30, 10, "roboticks/old"),
        (buyer, project): MqttUsage(5, 2, 50, 20, "roboticks/new"),
        (buyer + 1, project): MqttUsage(7, 0, 70, 0, "roboticks/stranger"),
    }
    with transaction(engine) as connection:
        add_mqtt(connection, usage, AT)
    query = "SELECT mqtt_inbound, mqtt_outbound, mqtt_inbound_bytes FROM "
    assert platform.rows(query + "project_stats") == platform.rows(query + "usage_hourly") == [(8, 3, 80)]
    assert platform.rows(
        "SELECT reason, messages, sample_topics FROM unattributed_messages ORDER BY reason"
    ) == [
        ("former_organization", 0, ["roboticks/old"]),
        ("organization_mismatch", 7, ["roboticks/stranger"]),
    ]


@pytest.mark.parametrize(
    "topic", ['a"b', "a\\", '\\"', "{a,b}", "NULL", "", " a ", ":hour %s %(at)s", "🤖'--"]
)
def test_a_sample_topic_is_kept_as_it_came(engine: Engine, platform: Platform, topic: str) -> None:
    usage = {(1, 999): MqttUsage(1, 0, 1, 0, topic), (1, 998): MqttUsage(1, 0, 1, 0, topic)}
    with transaction(engine) as connection:
        add_mqtt(connection, usage, AT)
    assert platform.rows("SELECT messages, sample_topics FROM unattributed_messages") == [(2, [topic] * 2)]


def test_usage_counts_through_the_day_of_deactivation_and_not_after(
    engine: Engine, platform: Platform
) -> None:
    organization = platform.organization()
    project = platform.project(organization)
    platform.deactivate(project, AT)
    count(engine, (organization, project), AT + hours(13))
    count(engine, (organization, project), AT + hours(14))
    assert platform.scalar("SELECT mqtt_inbound FROM project_stats") == 1
    assert platform.rows("SELECT reason, messages FROM unattributed_messages") == [("project_inactive", 3)]


def test_samples_of_unattributed_topics_stay_few_and_short(engine: Engine, platform: Platform) -> None:
    topics = [f"{number}/{'x' * 5_000}" for number in range(50)]
    for first in range(0, 50, 10):
        with transaction(engine) as connection:
            add_mqtt(connection, {}, AT, MalformedTopics(10, topics[first : first + 10]))
    ((messages, samples),) = platform.rows("SELECT messages, sample_topics FROM unattributed_messages")
    assert messages == 50
    assert len(samples) == MAX_SAMPLES
    assert max(map(len, samples)) == SAMPLE_LENGTH


def test_a_sample_leaves_what_was_not_sampled_as_it_was(engine: Engine, platform: Platform) -> None:
    sampled, denied = platform.project(), platform.project()
    for samples in (
        {sampled: {"s3_storage_bytes": 5}, denied: {"s3_storage_bytes": 9}},
        {sampled: {"s3_storage_bytes": 7}},
    ):
        with transaction(engine) as connection:
            record_gauges(connection, "s3", samples, AT)
    rows = platform.rows(
        "SELECT project_id, total_s3_storage_bytes, total_docker_storage_bytes, total_storage_bytes"
        " FROM project_stats ORDER BY project_id"
    )
    assert rows == [(sampled, 7, None, 7), (denied, 9, None, 9)]


def test_storage_is_the_sum_of_the_known_parts(engine: Engine, platform: Platform) -> None:
    project = platform.project()
    with transaction(engine) as connection:
        record_gauges(connection, "s3", {project: {"s3_storage_bytes": 5}}, AT)
        record_gauges(connection, "ecr", {project: {"docker_storage_bytes": 6, "ecr_image_count": 2}}, AT)
    assert platform.rows("SELECT total_storage_bytes, current_ecr_images FROM project_stats") == [(11, 2)]
    assert platform.scalar("SELECT storage_bytes FROM usage_hourly") == 11


def test_partitions_of_this_month_and_the_next_are_made_once(engine: Engine, platform: Platform) -> None:
    ensure_partitions(engine, AT)
    ensure_partitions(engine, AT)
    organization = platform.organization()
    project = platform.project(organization)
    count(engine, (organization, project))
    assert platform.scalar("SELECT count(*) FROM ONLY usage_hourly_2026_11") == 1
    assert platform.scalar("SELECT count(*) FROM ONLY usage_hourly_default") == 0
    assert platform.scalar("SELECT to_regclass('daily_stats_2026_12')::text") == "daily_stats_2026_12"


def test_reported_usage_makes_the_partition_of_its_hour(engine: Engine, platform: Platform) -> None:
    project = platform.project(platform.organization())
    hour = datetime(2031, 7, 4, 10, tzinfo=UTC)
    with transaction(engine) as connection:
        projects.ensure(connection, [project], AT)
        own_usage.add(connection, [Usage(project, hour, "mqtt_inbound", 3)], (), AT)
    assert platform.scalar("SELECT mqtt_inbound FROM ONLY usage_hourly_2031_07") == 3


def test_many_processes_make_the_partitions_at_once(engine: Engine, platform: Platform) -> None:
    failures: list[Exception] = []

    def make() -> None:
        try:
            ensure_partitions(engine, AT + hours(24 * 400))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert platform.scalar("SELECT to_regclass('usage_hourly_2027_12')::text") == "usage_hourly_2027_12"


def test_a_message_after_the_seal_goes_to_the_open_hour(engine: Engine, platform: Platform) -> None:
    organization = platform.organization()
    project = platform.project(organization)
    count(engine, (organization, project))
    open_from = Hour.of(AT).end
    platform.sql("UPDATE project_stats SET open_from = :at", at=open_from)
    count(engine, (organization, project))
    assert platform.rows("SELECT hour, mqtt_inbound FROM usage_hourly ORDER BY hour") == [
        (Hour.of(AT).start, 1),
        (open_from, 1),
    ]
