"""The busiest devices: lower bounds whatever comes, exact for few devices, in bounded memory."""

from collections import Counter
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.mqtt import counters
from collectors.mqtt.counters import TopicCounters
from collectors.mqtt.devices import BusiestDevices, DeviceFigures
from collectors.mqtt.topics import Topics
from collectors.mqtt.totals import NO_DEVICE, merge

DAY, NEXT_DAY = date(2026, 11, 24), date(2026, 11, 25)
TOPICS = Topics("r", ("cmd",))
# Batches of messages: a device, whether it is sent a command, and the bytes of one message.
messages = st.tuples(st.integers(0, 8), st.booleans(), st.integers(0, 9))
batches = st.lists(st.lists(messages, max_size=30), max_size=12)


def topic(device: int, outbound: bool, project: int = 2) -> bytes:
    return b"r/1/%d/d%d%s" % (project, device, b"/cmd" if outbound else b"/state")


def take_all(busiest: BusiestDevices) -> list[DeviceFigures]:
    busiest.begin()
    rows: list[DeviceFigures] = []
    while batch := busiest.take(2):
        rows += batch
    return rows


def followed(rows: list[DeviceFigures]) -> dict[str, tuple[list[int], int]]:
    """Add what was taken up, as the table does."""
    table: dict[str, tuple[list[int], int]] = {}
    for row in rows:
        figures, _ = table.get(row.device, ([0, 0, 0, 0], 0))
        table[row.device] = [a + b for a, b in zip(figures, row.figures, strict=True)], row.error
    return table


@given(batches=batches, limit=st.integers(1, 9), most_devices=st.integers(1, 12))
def test_figures_are_lower_bounds_within_their_error(
    batches: list[list[tuple[int, bool, int]]], limit: int, most_devices: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counters, "MAX_DEVICES", most_devices)
        counting, busiest, messages = (
            TopicCounters(TOPICS, limit),
            BusiestDevices(limit),
            Counter[tuple[str, int]](),
        )
        rows: list[DeviceFigures] = []
        for batch in batches:
            for number, (device, outbound, size) in enumerate(batch):
                cell = counting[topic(device, outbound)]
                cell[0 if number % 2 else 2] += 1
                cell[1 if number % 2 else 3] += size
                messages[f"d{device}", int(outbound)] += 1
                messages[f"d{device}", int(outbound) + 2] += size
            busiest.add(counting.drain().projects, DAY)
            rows += take_all(busiest)
    table = followed(rows)
    devices = {name for name, _ in messages}
    for name, (figures, _) in table.items():
        assert all(figures[place] <= messages[name, place] for place in range(4))
    if len(devices) <= limit and most_devices >= 2 * len(devices):
        assert {name: figures for name, (figures, _) in table.items()} == {
            name: [messages[name, place] for place in range(4)] for name in devices
        }
        assert not any(error for _, error in table.values())


@given(batches=batches, limit=st.integers(1, 9))
def test_a_device_that_is_followed_misses_at_most_its_error(
    batches: list[list[tuple[int, bool, int]]], limit: int
) -> None:
    busiest, counting, messages = BusiestDevices(limit), TopicCounters(TOPICS, limit), Counter[str]()
    for batch in batches:
        for device, outbound, _ in batch:
            counting[topic(device, outbound)][0] += 1
            messages[f"d{device}"] += 1
        busiest.add(counting.drain().projects, DAY)
    for project in busiest._projects.values():
        assert len(project.devices) <= limit
        for name, device in project.devices.items():
            assert device.messages <= messages[name.decode()] <= device.messages + device.error
        for name in messages.keys() - {key.decode() for key in project.devices}:
            assert messages[name] <= project.floor
        assert project.floor * limit <= messages.total()


@given(batches=batches)
def test_projects_have_every_message_whatever_is_kept_of_devices(
    batches: list[list[tuple[int, bool, int]]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counters, "MAX_TOPICS", 3)
        patch.setattr(counters, "MAX_CACHED_LENGTH", len(topic(1, True)) - 1)
        counting = TopicCounters(TOPICS, 2)
        drained = []
        for batch in batches:
            for device, outbound, size in batch:
                cell = counting[topic(device, outbound)]
                cell[2] += 1
                cell[3] += size
            drained.append(counting.drain())
    usage = merge(drained).usage().get((1, 2))
    all_messages = [one for batch in batches for one in batch]
    expected = [0, 0, 0, 0]
    for _, outbound, size in all_messages:
        expected[int(outbound)] += 1
        expected[int(outbound) + 2] += size
    assert (list(usage[:4]) if usage else [0, 0, 0, 0]) == expected


def test_what_the_broker_sends_again_is_counted_for_no_device() -> None:
    counting = TopicCounters(TOPICS, 5)
    counting[topic(1, False)][0] += 1
    counting[topic(1, False)][2] += 1
    counting.discard_qos1()
    ((usage),) = counting.drain().projects.values()
    assert usage.inbound_devices == {b"d1": [1, 0, 0, 0]}
    assert usage.qos0().inbound_devices == {b"d1": [1, 0, 0, 0]}


def test_nothing_is_followed_when_it_is_switched_off() -> None:
    counting = TopicCounters(TOPICS, 0)
    counting[topic(1, False)][0] += 1
    ((usage),) = counting.drain().projects.values()
    assert (usage.inbound_devices, usage.messages) == ({}, 1)


def test_days_are_apart_and_a_day_that_is_over_is_forgotten_once_taken() -> None:
    counting, busiest = TopicCounters(TOPICS, 5), BusiestDevices(5)
    for day in (DAY, NEXT_DAY):
        counting[topic(1, False)][0] += 1
        busiest.add(counting.drain().projects, day)
    busiest.forget_before(NEXT_DAY)
    assert {(row.date, row.device, row.figures[0]) for row in take_all(busiest)} == {
        (DAY, "d1", 1),
        (NEXT_DAY, "d1", 1),
    }
    busiest.forget_before(NEXT_DAY)
    assert [key[0] for key in busiest._projects] == [NEXT_DAY]


def test_a_million_devices_take_bounded_memory() -> None:
    counting, busiest = TopicCounters(TOPICS, 100), BusiestDevices(100)
    for number in range(150_000):
        counting[topic(number, False)][0] += 1
    (usage,) = counting.drain().projects.values()
    assert len(usage.inbound_devices) <= counters.MAX_DEVICES + 1
    assert NO_DEVICE in usage.inbound_devices
    busiest.add({(1, 2): usage}, DAY)
    assert len(take_all(busiest)) == 100
