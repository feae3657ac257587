"""How much room the socket gets, and how much is waited for: little of either would cost the broker or us."""

import socket

import pytest

from collectors.mqtt.buffer import Buffer
from collectors.mqtt.reader import (
    FLOOD_BYTES,
    GATHER_BYTES,
    LARGE_BUFFER_BYTES,
    SMALL_BUFFER_BYTES,
    SO_BUF_LOCK,
    FastReader,
)
from collectors.mqtt.session import Session
from collectors.mqtt.topics import Topics

ROOM, LOCK, WAITED_FOR = socket.SO_RCVBUF, SO_BUF_LOCK, socket.SO_RCVLOWAT


class Wire:
    """A socket of which each read yields the next chunk; remembers what was set."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = chunks
        self.options: dict[int, int] = {}

    def recv(self, _size: int) -> bytes:
        if not self.chunks:
            raise BlockingIOError
        return self.chunks.pop(0)

    def setsockopt(self, _level: int, option: int, value: int) -> None:
        self.options[option] = value


class Connected:
    """A connection that is up."""

    v5, session_present = False, True

    def __init__(self, wire: Wire) -> None:
        self.socket = wire

    def note_received(self) -> None:
        """A keepalive has nothing to count here."""


def messages(size: int, packet_id: int = 0) -> bytes:
    body = b"\0\7r/1/2/d" + (packet_id.to_bytes(2, "big") if packet_id else b"") + bytes(100)
    one = bytes([0x32 if packet_id else 0x30, len(body)]) + body
    return one * (size // len(one) + 1)


def read(chunks: list[bytes]) -> list[dict[int, int]]:
    """What was set after each chunk was read."""
    wire, options = Wire(list(chunks)), []
    reader = FastReader(Connected(wire), Buffer(Topics("r", ("cmd",)), Session(None)))  # type: ignore[arg-type]
    for _ in chunks:
        reader.receive()
        options.append(dict(wire.options))
    return options


def test_in_a_flood_at_qos_0_the_socket_has_little_room_until_it_is_over() -> None:
    flood, still, over = read([messages(FLOOD_BYTES), messages(SMALL_BUFFER_BYTES // 2), messages(1000)])
    assert (flood[ROOM], flood[LOCK], flood[WAITED_FOR]) == (SMALL_BUFFER_BYTES, 2, SMALL_BUFFER_BYTES // 2)
    assert still == flood
    assert (over[ROOM], over[LOCK], over[WAITED_FOR]) == (LARGE_BUFFER_BYTES, 0, GATHER_BYTES)


@pytest.mark.parametrize(
    "chunks",
    [[messages(FLOOD_BYTES - 1000)] * 3, [messages(1000)] * 3, [messages(FLOOD_BYTES, packet_id=7)]],
    ids=["much", "little", "a flood at QoS 1"],
)
def test_without_a_flood_at_qos_0_the_system_chooses_the_room(chunks: list[bytes]) -> None:
    assert all((ROOM in set_, set_[WAITED_FOR]) == (False, GATHER_BYTES) for set_ in read(chunks))
