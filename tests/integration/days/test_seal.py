"""Sealing a day: once, from its hours, with the gauges of then, whatever happens around it."""

import hashlib
import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError, InternalError, ProgrammingError

from metering.catalogue import projects
from metering.catalogue.periods import Day
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.errors import PeriodError
from metering.ledger.gauges import record_gauges
from metering.ledger.mqtt import MqttUsage, add_mqtt
from tests.support.platform import Platform, hours

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
YESTERDAY = Day.parse("2026-11-23")


def count(engine: Engine, project: int, at: datetime, inbound: int = 1) -> None:
    with transaction(engine) as connection:
        organization = connection.exec_driver_sql(
            f"SELECT organization_id FROM projects WHERE id = {project}"
        ).scalar_one()
        usage = {(organization, project): MqttUsage(inbound, 0, inbound * 64, 0, "topic")}
        add_mqtt(connection, usage, at)


def sample(engine: Engine, project: int, at: datetime, size: int) -> None:
    with transaction(engine) as connection:
        record_gauges(connection, "s3", {project: {"s3_storage_bytes": size}}, at)


def seal(engine: Engine, last: Day = YESTERDAY, at: datetime = MIDNIGHT) -> int:
    with transaction(engine) as connection:
        return seal_through(connection, last, projects.ids(connection), at)


def test_a_day_is_the_sum_of_its_hours(engine: Engine, platform: Platform) -> None:
    project = platform.project(created_at=NOON)
    count(engine, project, NOON, 3)
    count(engine, project, NOON + hours(2), 4)
    count(engine, project, MIDNIGHT, 100)
    assert seal(engine) == 1
    assert platform.rows("SELECT date, mqtt_inbound, mqtt_inbound_bytes FROM daily_stats") == [
        (YESTERDAY.date, 7, 448)
    ]


def test_sealing_twice_changes_nothing(engine: Engine, platform: Platform) -> None:
    count(engine, platform.project(created_at=NOON - hours(48)), NOON)
    seal(engine)
    before = platform.rows("SELECT * FROM daily_stats ORDER BY date")
    assert seal(engine) == 0
    assert platform.rows("SELECT * FROM daily_stats ORDER BY date") == before


def test_days_left_open_are_sealed_in_order(engine: Engine, platform: Platform) -> None:
    project = platform.project(created_at=NOON)
    count(engine, project, NOON, 1)
    count(engine, project, NOON + hours(24), 2)
    late = MIDNIGHT + hours(24 * 3)
    assert seal(engine, Day.of(late).previous(), late) == 4
    assert platform.rows("SELECT mqtt_inbound FROM daily_stats ORDER BY date") == [
        (1,),
        (2,),
        (0,),
        (0,),
    ]


def test_a_late_snapshot_shows_the_gauges_of_its_day_not_of_today(engine: Engine, platform: Platform) -> None:
    project = platform.project(created_at=NOON)
    sample(engine, project, NOON, 10)
    sample(engine, project, NOON + hours(1), 20)
    sample(engine, project, MIDNIGHT + hours(30), 999)
    seal(engine, Day.parse("2026-11-24"), MIDNIGHT + hours(31))
    rows = platform.rows("SELECT s3_storage_bytes, storage_bytes FROM daily_stats ORDER BY date")
    assert rows == [(20, 20), (20, 20)], "the second day has no sample of its own: carried"
    states = platform.rows(
        "SELECT coverage->'s3'->>'state', coverage->'s3'->>'sampled_at' FROM daily_stats ORDER BY date"
    )
    assert [state for state, _ in states] == ["measured", "carried"]
    assert states[0][1] == states[1][1]


def test_a_gauge_never_sampled_is_unknown_not_zero(engine: Engine, platform: Platform) -> None:
    count(engine, platform.project(created_at=NOON), NOON)
    seal(engine)
    row = platform.rows(
        "SELECT s3_storage_bytes, storage_bytes, device_count, coverage->'s3'->>'state' FROM daily_stats"
    )
    assert row == [(None, None, None, "not_configured")]


def test_a_deactivated_project_has_its_last_day_and_none_after(engine: Engine, platform: Platform) -> None:
    project = platform.project(created_at=NOON - hours(48))
    count(engine, project, NOON - hours(24))
    platform.deactivate(project, NOON - hours(23))
    seal(engine)
    dates = platform.rows("SELECT date::text FROM daily_stats ORDER BY date")
    assert dates == [("2026-11-21",), ("2026-11-22",)]


def test_a_day_that_is_not_over_is_refused(engine: Engine, platform: Platform) -> None:
    platform.project()
    with pytest.raises(PeriodError, match="2026-11-23 is not over"):
        seal(engine, at=NOON)


def test_the_row_hash_is_the_sha256_of_the_canonical_json(engine: Engine, platform: Platform) -> None:
    project = platform.project(created_at=NOON)
    count(engine, project, NOON)
    sample(engine, project, NOON, 7)
    seal(engine)
    ((row, sealed),) = platform.rows(
        "SELECT to_jsonb(d) - 'row_hash' - 'created_at', row_hash FROM daily_stats d"
    )
    canonical = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(canonical.encode()).hexdigest() == sealed


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE daily_stats SET logs = 1",
        "DELETE FROM daily_stats",
        "TRUNCATE daily_stats",
        "TRUNCATE daily_stats_2026_11",
        "DELETE FROM daily_stats_2026_11",
        "SET session_replication_role = replica; DELETE FROM daily_stats",
        "SET session_replication_role = replica; UPDATE daily_stats_2026_11 SET logs = 1",
    ],
)
def test_a_sealed_day_refuses_every_change(engine: Engine, platform: Platform, statement: str) -> None:
    count(engine, platform.project(created_at=NOON), NOON)
    seal(engine)
    with pytest.raises((IntegrityError, InternalError, ProgrammingError), match="sealed"):
        platform.sql(statement)
    assert platform.scalar("SELECT count(*) FROM daily_stats") == 1


def test_a_project_first_seen_late_is_open_from_its_creation(engine: Engine, platform: Platform) -> None:
    created = datetime(2026, 10, 31, 10, tzinfo=UTC)
    project = platform.project(created_at=created)
    with transaction(engine) as connection:
        projects.ensure(connection, [project], NOON)
    assert platform.scalar("SELECT open_from FROM project_stats") == Day.of(created).start


@pytest.mark.parametrize("installed", ["2026-11-20T00:00:00Z", "2026-10-31T23:50:00Z"])
def test_a_project_older_than_fleetmeter_starts_with_the_month_of_the_installation(
    engine: Engine, platform: Platform, installed: str
) -> None:
    platform.installed(installed)
    project = platform.project()
    with transaction(engine) as connection:
        projects.ensure(connection, [project], NOON)
    opened = datetime.fromisoformat(installed).replace(day=1, hour=0, minute=0)
    assert platform.scalar("SELECT open_from FROM project_stats") == opened


def test_a_level_read_after_the_end_of_a_project_makes_no_day(engine: Engine, platform: Platform) -> None:
    project = platform.project(created_at=NOON - hours(48))
    count(engine, project, NOON - hours(48))
    sample(engine, project, NOON, 7)
    platform.deactivate(project, NOON - hours(48))
    assert seal(engine) == 1
    assert platform.rows("SELECT date FROM daily_stats") == [((NOON - hours(48)).date(),)]
