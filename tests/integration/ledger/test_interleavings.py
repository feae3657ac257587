"""A flush, a recount, a seal and a close held open across each other: nothing is lost or doubled."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, text

from metering.catalogue import projects
from metering.catalogue.periods import Day, Month
from metering.days.seal import seal_through
from metering.db.transactions import advisory_lock, transaction
from metering.ledger.mqtt import MqttUsage, add_mqtt
from metering.ledger.recount import apply_staged
from metering.ledger.staging import TableCount, stage
from metering.months.close import close_month
from metering.pricing import plans
from metering.proof.verify import verify
from tests.support.platform import Platform, hours
from tests.support.until import until

LAST = datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)
OCTOBER = Month.parse("2026-10")


def flush(connection: Connection, key: tuple[int, int], at: datetime, inbound: int) -> None:
    add_mqtt(connection, {key: MqttUsage(inbound, 0, 0, 0, "topic")}, at)


def seal(connection: Connection) -> None:
    seal_through(connection, OCTOBER.last, projects.ids(connection), MIDNIGHT)


def close(connection: Connection) -> None:
    close_month(connection, OCTOBER, projects.ids(connection), plans.load(None), MIDNIGHT, "test")


def recount(connection: Connection) -> None:
    advisory_lock(connection, "platform_db")
    select = "SELECT project_id, date_trunc('hour', created_at, 'UTC'), count(*) FROM logs GROUP BY 1, 2"
    stage(connection, "platform_db", {"logs": TableCount(("logs",), select)}, {})
    ids = projects.ids(connection)
    apply_staged(connection, "platform_db", ids, OCTOBER.last.start, MIDNIGHT, MIDNIGHT)


def while_open(
    engine: Engine, first: Callable[[Connection], None], then: Callable[[Connection], None]
) -> None:
    """Run `then` in a second transaction that has to wait for the uncommitted `first`."""
    failures: list[BaseException] = []

    def second() -> None:
        try:
            with transaction(engine) as connection:
                connection.execute(text("SET application_name = 'second'"))
                then(connection)
        except BaseException as error:
            failures.append(error)

    with transaction(engine) as connection:
        first(connection)
        thread = threading.Thread(target=second)
        thread.start()
        _until_it_waits(engine, thread)
    thread.join(timeout=30)
    assert not failures, failures


def _until_it_waits(engine: Engine, thread: threading.Thread) -> None:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'second'"
        " AND wait_event_type = 'Lock' AND datname = current_database()"
    )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        until(lambda: connection.scalar(waiting) or not thread.is_alive())
    assert thread.is_alive(), "the second transaction did not wait for the first"


def fleet(engine: Engine, platform: Platform) -> tuple[int, int]:
    organization = platform.organization()
    key = (organization, platform.project(organization, created_at="2026-10-30T00:00:00Z"))
    with transaction(engine) as connection:
        flush(connection, key, LAST - hours(5), 100)
    return key


def sealed_and_counted(platform: Platform) -> list[tuple[int, int]]:
    """Messages sealed for the last of October, and messages counted since."""
    return platform.rows(
        """SELECT (SELECT sum(mqtt_inbound)::int FROM daily_stats WHERE date = '2026-10-31'),
            (SELECT coalesce(sum(mqtt_inbound), 0)::int FROM usage_hourly WHERE hour >= '2026-11-01Z')"""
    )


def check(engine: Engine) -> None:
    assert verify(engine).discrepancies == []


def test_a_seal_waits_for_an_open_flush_and_contains_it(engine: Engine, platform: Platform) -> None:
    key = fleet(engine, platform)
    while_open(engine, lambda c: flush(c, key, LAST, 7), seal)
    assert sealed_and_counted(platform) == [(107, 0)]
    check(engine)


def test_a_flush_during_a_seal_goes_to_the_open_hour(engine: Engine, platform: Platform) -> None:
    key = fleet(engine, platform)
    while_open(engine, seal, lambda c: flush(c, key, LAST, 7))
    assert sealed_and_counted(platform) == [(100, 7)]
    check(engine)


def test_a_flush_during_a_close_survives_the_reset(engine: Engine, platform: Platform) -> None:
    key = fleet(engine, platform)
    while_open(engine, close, lambda c: flush(c, key, LAST, 7))
    assert sealed_and_counted(platform) == [(100, 7)]
    live = platform.rows("SELECT mqtt_inbound, lifetime_mqtt_inbound FROM project_stats")
    assert live == [(7, 100)]
    check(engine)


def test_a_close_waits_for_an_open_flush_and_bills_it(engine: Engine, platform: Platform) -> None:
    key = fleet(engine, platform)
    while_open(engine, lambda c: flush(c, key, LAST, 7), close)
    assert platform.scalar("SELECT mqtt_inbound FROM monthly_stats") == 107
    check(engine)


def test_two_closes_at_once_make_one_bill(engine: Engine, platform: Platform) -> None:
    fleet(engine, platform)
    while_open(engine, close, close)
    assert platform.scalar("SELECT count(*) FROM monthly_stats") == 1
    assert platform.rows("SELECT mqtt_inbound, lifetime_mqtt_inbound FROM project_stats") == [(0, 100)]
    check(engine)


def test_two_seals_at_once_make_one_row_a_day(engine: Engine, platform: Platform) -> None:
    fleet(engine, platform)
    while_open(engine, seal, seal)
    assert platform.scalar("SELECT count(*) FROM daily_stats") == 2
    check(engine)


def test_a_recount_during_a_flush_loses_neither(engine: Engine, platform: Platform) -> None:
    key = fleet(engine, platform)
    platform.logs(key[1], LAST, 5)
    while_open(engine, lambda c: flush(c, key, LAST, 7), recount)
    while_open(engine, recount, lambda c: flush(c, key, LAST, 1))
    assert platform.rows("SELECT logs, mqtt_inbound FROM project_stats") == [(5, 108)]
    check(engine)


def test_a_recount_after_a_seal_leaves_the_sealed_day_alone(engine: Engine, platform: Platform) -> None:
    key = fleet(engine, platform)
    while_open(engine, lambda c: (flush(c, key, LAST, 7), seal(c))[0], lambda c: flush(c, key, LAST, 1))
    platform.logs(key[1], LAST, 5)
    with transaction(engine) as connection:
        recount(connection)
    assert platform.scalar("SELECT logs FROM project_stats") == 0
    assert Day.of(LAST) == OCTOBER.last
    check(engine)


def test_two_recounts_at_once_count_each_row_once(engine: Engine, platform: Platform) -> None:
    key = fleet(engine, platform)
    platform.logs(key[1], LAST, 5)
    while_open(engine, recount, recount)
    assert platform.scalar("SELECT logs FROM project_stats") == 5
    check(engine)
