"""Devices in the database: never more than the ledger has, kept for a while, seen by their owner."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from collectors.mqtt.devices import DeviceFigures
from metering.archive import retention
from metering.config.settings import Settings
from metering.db.transactions import transaction
from metering.ledger import devices
from metering.proof.verify import verify
from tests.support.closed_months import count
from tests.support.mqtt_broker import Mosquitto, Publisher
from tests.support.mqtt_daemon import Running, connected, message_count
from tests.support.platform import Platform
from tests.support.until import until

AT = datetime(2026, 11, 24, 10, tzinfo=UTC)
DAY = AT.date()


@pytest.fixture
def owned(engine: Engine, platform: Platform) -> tuple[int, int]:
    """An organization's project for which ten messages are in the ledger."""
    organization = platform.organization("starter")
    project = platform.project(organization, created_at="2026-11-01T00:00:00Z")
    count(engine, organization, project, 10, AT)
    return organization, project


def add(engine: Engine, limit: int, *rows: DeviceFigures) -> None:
    with transaction(engine) as connection:
        devices.add(connection, rows, limit)


def row(owner: tuple[int, int], device: str, messages: int, day: date = DAY, error: int = 0) -> DeviceFigures:
    return DeviceFigures(*owner, day, device, [messages, 0, 0, 0], error)


def listed(platform: Platform) -> list[tuple[object, ...]]:
    query = "SELECT device, mqtt_inbound, error FROM device_usage_daily ORDER BY mqtt_inbound DESC, device"
    return [tuple(one) for one in platform.rows(query)]


def test_figures_of_two_daemons_add_up_to_at_most_the_ledgers(
    engine: Engine, platform: Platform, owned: tuple[int, int]
) -> None:
    add(engine, 5, row(owned, "arm", 4), row(owned, "leg", 1))
    add(engine, 5, row(owned, "arm", 5, error=2))
    assert listed(platform) == [("arm", 9, 2), ("leg", 1, 0)]
    add(engine, 5, row(owned, "arm", 1))  # the eleventh message
    assert listed(platform) == [("arm", 9, 2), ("leg", 1, 0)]
    assert verify(engine).sound
    with transaction(engine) as connection:
        usage = devices.of_days(connection, owned[1], DAY, DAY)
    assert [one.device for one in usage.devices] == ["arm", "leg"]
    assert usage.rest["mqtt_inbound"] == 0


def test_what_the_ledger_does_not_have_counts_for_no_device(
    engine: Engine, platform: Platform, owned: tuple[int, int]
) -> None:
    stranger = platform.organization("starter", "Elsewhere")
    add(
        engine,
        5,
        row((stranger, owned[1]), "intruder", 1),  # its topic names an organization that never owned it
        row(owned, "arm", 1, DAY + timedelta(days=1)),
        row((owned[0], 999_999), "ghost", 1),
    )
    assert listed(platform) == []


def test_at_most_so_many_devices_are_kept_the_busiest(
    engine: Engine, platform: Platform, owned: tuple[int, int]
) -> None:
    add(engine, 2, row(owned, "a", 1), row(owned, "b", 3))
    add(engine, 2, row(owned, "c", 2))
    assert [device for device, _, _ in listed(platform)] == ["b", "c"]
    with transaction(engine) as connection:
        rest = devices.of_days(connection, owned[1], DAY, DAY).rest
    assert rest["mqtt_inbound"] == 5


def test_two_spellings_of_one_cut_name_are_one_device(
    engine: Engine, platform: Platform, owned: tuple[int, int]
) -> None:
    add(engine, 5, row(owned, "arm", 2), row(owned, "arm", 3))
    assert listed(platform) == [("arm", 5, 0)]


def test_verify_names_devices_that_have_more_than_their_project(
    engine: Engine, platform: Platform, owned: tuple[int, int]
) -> None:
    add(engine, 5, row(owned, "arm", 10))
    platform.sql("UPDATE device_usage_daily SET mqtt_inbound = 11")
    (discrepancy,) = verify(engine).discrepancies
    assert (discrepancy.project_id, discrepancy.period, discrepancy.meter, discrepancy.found) == (
        owned[1],
        str(DAY),
        "mqtt_inbound",
        "11",
    )


def test_old_days_are_deleted_in_batches_and_counted_by_a_dry_run(
    engine: Engine, platform: Platform, owned: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "DELETED", 2)
    platform.sql(
        """INSERT INTO device_usage_daily (project_id, date, device)
        SELECT :project, CAST(:day AS date) - n, 'd' FROM generate_series(0, 5) n""",
        project=owned[1],
        day=DAY,
    )
    last = DAY - timedelta(days=1)
    assert retention.forget_devices(engine, last, dry_run=True) == 4
    assert retention.forget_devices(engine, last) == 4
    assert platform.scalar("SELECT min(date) FROM device_usage_daily") == last


def test_an_organization_sees_the_days_that_it_owned(
    engine: Engine, platform: Platform, owned: tuple[int, int]
) -> None:
    add(engine, 5, row(owned, "arm", 10))
    for organization, visible_rows in ((owned[0], 1), (owned[0] + 1, 0)):
        with engine.begin() as connection:
            connection.execute(
                text("SELECT set_config('fleetmeter.organizations', :ids, true)"),
                {"ids": f"{{{organization}}}"},
            )
            assert connection.scalar(text("SELECT count(*) FROM device_usage_daily")) == visible_rows


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
def start(configured: Settings, broker: Mosquitto) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def begin(**changes: object) -> Running:
        changes["mqtt_url"] = SecretStr(broker.url)
        started.append(Running(configured.model_copy(update=changes)))
        return started[-1]

    yield begin
    for running in started:
        running.finish()


def test_a_daemon_writes_what_each_device_sent_and_goes_on_after_a_restart(
    engine: Engine, platform: Platform, start: Callable[..., Running], broker: Mosquitto
) -> None:
    organization = platform.organization()
    project = platform.project(organization)
    publisher = Publisher(broker)
    for total in (11, 22):  # the intruder's are unattributed
        running = start()
        until(lambda: connected(platform))
        publisher.send(f"roboticks/{organization}/{project}/arm/state", 5, qos=1, size=7)
        publisher.send(f"roboticks/{organization}/{project}/arm/cmd/x", 1, qos=1, size=3)
        publisher.send(f"roboticks/{organization}/{project}/leg/state", 3, qos=0, size=1)
        publisher.send(f"roboticks/{organization + 1}/{project}/intruder/state", 2, qos=1, size=1)
        publisher.wait()
        until(lambda total=total: message_count(platform) == total)  # type: ignore[misc]
        running.finish()
    publisher.close()
    columns = "device, mqtt_inbound, mqtt_outbound, mqtt_inbound_bytes, mqtt_outbound_bytes, error"
    assert platform.rows(f"SELECT {columns} FROM device_usage_daily ORDER BY device") == [
        ("arm", 10, 2, 70, 6, 0),
        ("leg", 6, 0, 6, 0, 0),
    ]
    assert verify(engine).sound


def test_nothing_is_written_when_it_is_switched_off(
    platform: Platform, start: Callable[..., Running], broker: Mosquitto
) -> None:
    organization = platform.organization()
    project = platform.project(organization)
    running, publisher = start(top_devices=0), Publisher(broker)
    until(lambda: connected(platform))
    publisher.send(f"roboticks/{organization}/{project}/arm/state", 5, qos=1, size=7)
    publisher.wait()
    until(lambda: message_count(platform) == 5)
    running.finish()
    publisher.close()
    assert platform.scalar("SELECT count(*) FROM device_usage_daily") == 0
