"""From bytes to counts: the PUBLISH packets of MQTT 3.1.1 and 5, decoded in one tight loop.

Packet formats: MQTT 5.0 sections 2.1 (fixed header), 3.3 (PUBLISH), 3.4 (PUBACK). Every message of
every device passes through `fold`; it is written for speed, not for beauty.

`setup.py` compiles this module with mypyc, and `make` does so again when it has changed. Where there is
no C compiler, this file itself runs, four times slower. It imports nothing of the project, so that it
compiles alone.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

PUBLISH = 0x30
CONNACK = b"\x20"
DUP, RETAIN = 0x08, 0x01
PUBACK = b"\x40\x02"

# messages and payload bytes at QoS 0, then at QoS 1: what the broker will send again if a commit
# fails must be told from what it will not.
Counters = list[int]


class Malformed(Exception):
    """The broker sent bytes that are not MQTT, or that we never agreed to."""


class Publish(NamedTuple):
    """One PUBLISH; `packet_id` is empty at QoS 0, `size` is the payload's bytes."""

    topic: bytes
    packet_id: bytes
    dup: bool
    retain: bool
    size: int


def fold(  # noqa: PLR0912 - a call for each message would cost more than the rest
    data: bytes,
    v5: bool,
    cells: dict[bytes, Counters],
    arrivals: list[bytes],
    other: Callable[[int, bytes, int], None],
) -> int:
    """Count the whole packets in `data`; returns where the first incomplete one starts.

    Messages and payload bytes go to the cell of their topic, packet ids to `arrivals`. Everything
    that is not a first, live PUBLISH at QoS 0 or 1 goes to `other(header, body, size)`, in order.
    Raises Malformed; what precedes the malformed packet is counted.
    """
    pos, end = 0, len(data)
    properties = 1 if v5 else 0
    arrived = arrivals.append
    try:
        while pos + 1 < end:
            header = data[pos]
            size = data[pos + 1]
            start = pos + 2
            if size > 127:
                more = data[start]
                start += 1
                size += (more << 7) - 128
                if more > 127:
                    size, start = _remaining(data, pos)
            stop = start + size
            if stop > end:
                break
            if header == 0x30:
                topic = start + 2
                body = topic + (data[start] << 8) + data[start + 1]
                cell = cells[data[topic:body]]
                body += properties
                if body > stop:
                    raise Malformed("a PUBLISH shorter than its topic")
                if properties and data[body - 1]:
                    body = _after_properties(data, body - 1, stop)
                cell[0] += 1
                cell[1] += stop - body
            elif header == 0x32:
                topic = start + 2
                body = topic + (data[start] << 8) + data[start + 1]
                cell = cells[data[topic:body]]
                packet_id = data[body : body + 2]
                body += 2 + properties
                if body > stop or packet_id == b"\0\0":
                    raise Malformed("a PUBLISH shorter than its topic, or with packet id 0")
                if properties and data[body - 1]:
                    body = _after_properties(data, body - 1, stop)
                arrived(packet_id)
                cell[2] += 1
                cell[3] += stop - body
            else:
                other(header, data[start:stop], size)
            pos = stop
    except IndexError:
        # Only a length field that the chunk cuts off may end here; a short packet may not.
        if _length_is_complete(data, pos):
            raise Malformed("a packet shorter than its fields") from None
    return pos


def publish(header: int, body: bytes, size: int, v5: bool) -> Publish:
    """Parse a PUBLISH from its header and at least its first 64 KB; `size` is its remaining length.

    Raises Malformed, also for QoS 2, which the daemon does not subscribe to.
    """
    qos = header >> 1 & 3
    if qos > 1 or (header & DUP and not qos):
        raise Malformed(f"a PUBLISH with flags {header & 15:04b}")
    try:
        end = 2 + (body[0] << 8) + body[1]
        topic, packet_id = body[2:end], body[end : end + 2 * qos]
        end += 2 * qos
        if v5:
            end = _after_properties(body, end, size)
    except IndexError:
        raise Malformed("a PUBLISH shorter than its fields") from None
    if end > size or packet_id == b"\0\0":
        raise Malformed("a PUBLISH shorter than its topic, or with packet id 0")
    return Publish(topic, packet_id, bool(header & DUP), bool(header & RETAIN), size - end)


def puback(packet_ids: Iterable[bytes]) -> bytes:
    """Return the PUBACKs of all packet ids, to be sent in one write."""
    together = PUBACK.join(packet_ids)
    return PUBACK + together if together else b""


def length(data: bytes) -> tuple[int, int] | None:
    """Return the remaining length and where the body starts, of the packet at the head; None if cut off."""
    if len(data) < 2 or not _length_is_complete(data, 0):
        return None
    return _remaining(data, 0)


def _remaining(data: bytes, pos: int) -> tuple[int, int]:
    size, start = _varint(data, pos + 1)
    return size, start


def _varint(data: bytes, pos: int) -> tuple[int, int]:
    value = 0
    for count in range(4):
        byte = data[pos + count]
        value |= (byte & 127) << 7 * count
        if byte < 128:
            return value, pos + count + 1
    raise Malformed("a length of more than four bytes")


def _after_properties(data: bytes, pos: int, stop: int) -> int:
    size, start = _varint(data, pos)
    if start + size > stop:
        raise Malformed("properties longer than their packet")
    return start + size


def _length_is_complete(data: bytes, pos: int) -> bool:
    return any(byte < 128 for byte in data[pos + 1 : pos + 5]) or len(data) > pos + 4
