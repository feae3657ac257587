"""A topic names one project in one way, or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.mqtt.counters import MAX_PROJECTS, MAX_TOPICS, TopicCounters
from collectors.mqtt.topics import MAX_DEVICE, Address, Topics, sample

TOPICS = Topics("acme/robots", ("cmd", "ota"))


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        ("1/2/d", Address(1, 2, False, b"d")),
        ("1/2/d/state/cmd", Address(1, 2, False, b"d")),
        ("1/2/d/cmd", Address(1, 2, True, b"d")),
        ("1/2/d/ota/x", Address(1, 2, True, b"d")),
        (f"1/{2**63 - 1}/d", Address(1, 2**63 - 1, False, b"d")),
        ("1/2/é/x", Address(1, 2, False, "é".encode())),
        ("1/2/" + "x" * 65_000, Address(1, 2, False, b"x" * MAX_DEVICE)),
        ("1/2", None),
        ("1/2/", None),
        ("1//d", None),
        ("1/2/d//x", None),
        ("1/2/d/", None),
        ("/1/2/d", None),
        (f"1/{2**63}/d", None),
        (f"1/{10**30}/d", None),
        ("1/0/d", None),
        ("1/007/d", None),
        ("1/+1/d", None),
        ("1/-1/d", None),
        ("1/٣/d", None),
        ("1/2 /d", None),
        ("1/2/a\0b", None),
    ],
)
def test_reading(below: str, expected: Address | None) -> None:
    assert TOPICS.parse(b"acme/robots/" + below.encode()) == expected


@pytest.mark.parametrize("topic", [b"acme/robots", b"acme/robot/1/2/d", b"acme/robots/1/2/\xff", b"x"])
def test_what_lies_elsewhere_is_malformed(topic: bytes) -> None:
    assert TOPICS.parse(topic) is None


@given(st.binary(max_size=1000))
def test_samples_are_short_printable_text(topic: bytes) -> None:
    text = sample(topic)
    assert len(text) <= 200
    assert text.isprintable()
    text.encode()


def test_a_million_topics_take_bounded_memory() -> None:
    counts = TopicCounters(TOPICS)
    for number in range(120_000):
        counts[b"acme/robots/1/2/%d" % number][0] += 1
    assert len(counts) <= MAX_TOPICS
    assert counts.drain().usage()[1, 2].inbound == 120_000


def test_too_many_projects_say_so_and_start_again() -> None:
    counts = TopicCounters(TOPICS)
    for number in range(1, MAX_PROJECTS + 1):
        counts[b"acme/robots/1/%d/d" % number][2] += 1
    assert counts.full
    assert len(counts.drain().usage()) == MAX_PROJECTS
    assert not counts.full
    assert not counts.drain()
