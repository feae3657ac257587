"""The tight loop sees what paho sees, in whatever pieces the bytes come."""

import contextlib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import _packet
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from collectors.mqtt import codec
from collectors.mqtt.buffer import Buffer
from collectors.mqtt.codec import Malformed
from collectors.mqtt.counters import TopicCounters
from collectors.mqtt.reader import DECODER, HEAD_BYTES, FastReader
from collectors.mqtt.session import Session
from collectors.mqtt.topics import Topics


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, byte = divmod(value, 128)
        out.append(byte | (128 if value else 0))
        if not value:
            return bytes(out)


def packet(
    topic: bytes, payload: bytes, packet_id: int = 0, flags: int = 0, properties: bytes | None = None
) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic
    if packet_id:
        body += packet_id.to_bytes(2, "big")
    if properties is not None:
        body += varint(len(properties)) + properties
    body += payload
    return bytes([0x30 | (2 if packet_id else 0) | flags]) + varint(len(body)) + body


topics = st.sampled_from(
    [b"r/1/2/d", b"r/1/2/d/cmd", b"r/1/3/d/" + b"x" * 300, b"r/9/9/\xc3\xa9", b"r/x/2/d", b"r/1/2/\xff"]
)
packets = st.builds(
    packet,
    topics,
    st.integers(0, 400).map(bytes),
    st.one_of(st.just(0), st.integers(1, 65_535)),
)
SOURCE = Path(codec.__file__).with_name("codec.py")
is_compiled = pytest.mark.skipif(DECODER == "interpreted", reason="`make install` found no C compiler")


def _interpreted() -> ModuleType:
    """The decoder as Python runs it, whatever was compiled."""
    spec = spec_from_file_location("wire_interpreted", SOURCE)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


INTERPRETED = _interpreted()


class Fake:
    """A connection without a network."""

    v5 = False
    session_present = True

    def __init__(self) -> None:
        self.others: list[tuple[int, bytes]] = []

    def handle_packet(self, header: int, body: bytes) -> None:
        self.others.append((header, body))


def buffer() -> Buffer:
    return Buffer(Topics("r", ("cmd",)), Session(None))


def drain(pending: Buffer) -> tuple[dict[tuple[int, int], tuple[int, ...]], int]:
    totals = pending.counters.drain()
    usage = {key: used[:4] for key, used in totals.usage().items()}
    malformed = totals.malformed_topics()
    return usage, malformed.messages if malformed else 0


@given(messages=st.lists(packets, max_size=20), sizes=st.lists(st.integers(1, 700), min_size=1))
def test_any_chunking_counts_what_paho_decodes(messages: list[bytes], sizes: list[int]) -> None:
    fast, expected = buffer(), buffer()
    reader = FastReader(Fake(), fast)  # type: ignore[arg-type]
    data, turn = b"".join(messages), 0
    while data:
        size = sizes[turn % len(sizes)]
        reader._decode(data[:size])
        data, turn = data[size:], turn + 1
    for one in messages:
        start = codec.length(one)[1]  # type: ignore[index]
        decoded = _packet.decode_publish(one[0], one[start:], MQTTProtocolVersion.MQTTv311)
        identifier = decoded.mid.to_bytes(2, "big") if decoded.qos else b""
        expected.publish(codec.Publish(decoded.topic, identifier, False, False, len(decoded.payload)))
    assert fast.session.arrivals == expected.session.arrivals
    assert drain(fast) == drain(expected)


@given(
    header=st.integers(0x30, 0x35),
    topic=st.binary(min_size=1, max_size=40),
    payload=st.binary(max_size=40),
    text=st.text(alphabet="ab", max_size=200),
)
def test_mqtt_5_properties_are_not_payload(header: int, topic: bytes, payload: bytes, text: str) -> None:
    qos = header >> 1 & 3
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = ("key", text)
    if text:
        properties.ContentType = text
    one = packet(topic, payload, 7 if qos else 0, header & 1, properties.pack()[2 if len(text) > 50 else 1 :])
    size, start = codec.length(one)  # type: ignore[misc]
    if qos > 1:
        return
    decoded = codec.publish(one[0], one[start:], size, True)
    assert (decoded.topic, decoded.size) == (topic, len(payload))
    arrivals: list[bytes] = []
    cells = {topic: [0, 0, 0, 0]}
    if not header & 1:
        assert codec.fold(one, True, cells, arrivals, lambda *_: None) == len(one)
        assert cells[topic][1 + qos * 2] == len(payload)


@given(data=st.binary(max_size=200), v5=st.booleans())
def test_any_bytes_are_counted_refused_or_waited_for(data: bytes, v5: bool) -> None:
    """Never another error, never a position outside of what came."""
    counts, arrivals = TopicCounters(Topics("r", ())), []  # type: ignore[var-annotated]

    def other(header: int, body: bytes, size: int) -> None:
        assert len(body) == size
        if header & 0xF0 == codec.PUBLISH:
            codec.publish(header, body, size, v5)

    with contextlib.suppress(Malformed):
        assert 0 <= codec.fold(data, v5, counts, arrivals, other) <= len(data)


def outcome(decoder: ModuleType, data: bytes, v5: bool) -> object:
    """Everything that decoding `data` does: the position or the refusal, counts, ids, other packets."""
    cells = {topic: [0, 0, 0, 0] for topic in (b"a", b"r/1/2/d", b"")}
    arrivals: list[bytes] = []
    others: list[object] = []

    def other(header: int, body: bytes, size: int) -> None:
        others.append((header, body, size))
        if header & 0xF0 == decoder.PUBLISH:
            others.append(tuple(decoder.publish(header, body, size, v5)))

    try:
        ended: object = decoder.fold(data, v5, cells, arrivals, other)
    except (decoder.Malformed, KeyError) as error:
        ended = type(error).__name__, str(error)
    return ended, cells, arrivals, others


@is_compiled
@given(
    data=st.one_of(
        st.lists(st.one_of(packets, st.binary(max_size=20)), max_size=6).map(b"".join),
        st.builds(
            packet, st.sampled_from([b"a", b""]), st.binary(max_size=9), st.integers(0, 2), st.integers(0, 9)
        ),
    ),
    v5=st.booleans(),
    cut=st.integers(0, 12),
)
def test_compiled_and_interpreted_decoder_do_the_same(data: bytes, v5: bool, cut: int) -> None:
    whole = data[: len(data) - cut]
    assert outcome(codec, whole, v5) == outcome(INTERPRETED, whole, v5)


@is_compiled
def test_what_is_compiled_is_this_source() -> None:
    compiled_at = Path(codec.__file__).stat().st_mtime
    assert compiled_at >= SOURCE.stat().st_mtime, "codec.py has changed: make install"


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x00",
        b"\x30\x01a",
        b"\x30\x03\x00\x05a",
        b"\x32\x05\x00\x01a\x00\x00",
        b"\x32\x03\x00\x01a",
        b"\x36\x05\x00\x01a\x00\x01",
        b"\x38\x03\x00\x01a",
        b"\x30\xff\xff\xff\xff\x01",
        b"\x30\x02\x00\x00",
    ],
)
def test_what_is_not_mqtt_is_refused(data: bytes) -> None:
    reader = FastReader(Fake(), buffer())  # type: ignore[arg-type]
    with pytest.raises(Malformed):
        reader._decode(data)


def test_a_packet_too_large_to_hold_is_counted_without_being_held() -> None:
    pending = buffer()
    reader = FastReader(Fake(), pending)  # type: ignore[arg-type]
    payload = 5_000_000
    one = packet(b"r/1/2/d", bytes(payload), 9) + packet(b"r/1/2/d", b"abc", 10)
    most = 0
    for start in range(0, len(one), 65_536):
        reader._decode(one[start : start + 65_536])
        most = max(most, len(reader._incomplete))
    assert most <= 4 * HEAD_BYTES
    assert drain(pending) == ({(1, 2): (2, 0, payload + 3, 0)}, 0)
    assert pending.session.arrivals == [b"\x00\x09", b"\x00\x0a"]


def test_acknowledgements_are_one_run_of_bytes() -> None:
    assert codec.puback([b"\x00\x01", b"\x12\x34"]) == b"\x40\x02\x00\x01\x40\x02\x12\x34"
    assert codec.puback([]) == b""
