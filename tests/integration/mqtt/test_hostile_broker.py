"""A broker that sends what is not MQTT: a new connection, never a crash or a wrong count."""

import contextlib
import random
import socket
import threading

import pytest
from pydantic import SecretStr

from collectors.mqtt import daemon
from metering.config.settings import Settings
from tests.support.mqtt_daemon import Running, message_count
from tests.support.platform import Platform
from tests.support.until import until

CONNACK = b"\x20\x03%c\0\0"
PUBACK, PINGREQ, PINGRESP = b"\x40\2", b"\xc0\0", b"\xd0\0"
RANDOM = random.Random(3)


def publish(topic: bytes, flags: int = 0, packet_id: int = 0, properties: bytes = b"\0") -> bytes:
    identifier = packet_id.to_bytes(2, "big") if packet_id or flags & 6 else b""
    body = len(topic).to_bytes(2, "big") + topic + identifier + properties + b"payload"
    return bytes([0x30 | flags, len(body)]) + body


GARBAGE = {
    "a length of five bytes": b"\x30\xff\xff\xff\xff\x7f",
    "an empty topic": publish(b""),
    "a topic alias that was not offered": publish(b"", properties=b"\3\x23\0\1"),
    "a topic longer than its packet": b"\x30\x05\xff\xffabc",
    "properties longer than their packet": publish(b"roboticks/1/1/r", properties=b"\x7f"),
    "a packet without fields": b"\x32\x00",
    "packet id 0": publish(b"roboticks/1/1/r", flags=2),
    "QoS 3": publish(b"roboticks/1/1/r", flags=6, packet_id=9),
    "QoS 2, which nobody subscribed to": publish(b"roboticks/1/1/r", flags=4, packet_id=9) + b"\x62\2\0\x09",
    "a packet of type 0": b"\0\0",
    "what only clients send": b"\x10\x00",
    "a second CONNACK": CONNACK % 0,
    "a SUBACK without fields": b"\x90\x00",
    "a packet that is cut off": b"\x32\x40\x00\x05robo",
    "a SUBACK of 256 MB": b"\x90\xff\xff\xff\x7f" + bytes(1_500_000),
    "a PUBLISH of 256 MB that ends early": b"\x30\xff\xff\xff\x7f\0\x0froboticks/1/1/r" + bytes(1_500_000),
    "HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "noise": RANDOM.randbytes(5_000),
}


GRANTED, REFUSED = 1, 0x87


class Hostile:
    """Keeps a session as a broker does. For each connection in turn it has an answer to SUBSCRIBE, the
    topics of new messages at QoS 1, and bytes of any kind to send after them.
    """

    def __init__(self, *scripts: tuple[int, list[bytes], bytes]) -> None:
        self.connections = 0
        self._scripts = scripts
        self._in_flight: dict[int, bytes] = {}  # packet id -> topic
        self._last_id = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        self._admit()
        for grant, topics, more in self._scripts:
            try:
                client = self._server.accept()[0]
            except OSError:
                return
            self.connections += 1
            with client, contextlib.suppress(OSError):  # the other end hung up
                self._talk(client, grant, topics, more)

    def _admit(self) -> None:
        """Answer the connection that a daemon makes before it claims the session."""
        with contextlib.suppress(OSError), self._server.accept()[0] as client:
            client.recv(4096)
            client.sendall(CONNACK % 0)
            client.recv(4096)

    def _talk(self, client: socket.socket, grant: int, topics: list[bytes], more: bytes) -> None:
        client.recv(4096)
        client.sendall(CONNACK % 1)
        subscribe = client.recv(4096)
        again = [publish(topic, 10, packet_id) for packet_id, topic in self._in_flight.items()]
        new = list(enumerate(topics, self._last_id + 1))
        self._last_id += len(new)
        self._in_flight.update(new)
        first = [publish(topic, 2, packet_id) for packet_id, topic in new]
        suback = b"\x90\4" + subscribe[2:4] + b"\0%c" % grant
        client.sendall(suback + b"".join(again + first) + more)
        client.settimeout(60 if self.connections == len(self._scripts) else 0.5)
        while packet := client.recv(2):
            if packet == PUBACK:
                self._in_flight.pop(int.from_bytes(client.recv(2), "big"), None)
            elif packet == PINGREQ:
                client.sendall(PINGRESP)


@pytest.fixture(params=["fast", pytest.param("plain", marks=pytest.mark.drill)])
def plain(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "plain")


@pytest.fixture
def topic(platform: Platform) -> bytes:
    organization = platform.organization()
    return f"roboticks/{organization}/{platform.project(organization)}/robot/state".encode()


def count_of(
    platform: Platform, configured: Settings, plain: bool, broker: Hostile, messages: int
) -> int | None:
    """Run a daemon until it has counted so many; returns what it counted in the end."""
    running = Running(configured.model_copy(update={"mqtt_url": SecretStr(broker.url)}), plain)
    until(lambda: message_count(platform) >= messages, 60)
    assert running.finish() == daemon.STOPPED
    broker.close()
    return message_count(platform)


def test_garbage_ends_a_connection_and_nothing_else(
    platform: Platform, configured: Settings, topic: bytes, plain: bool
) -> None:
    """What came before it counts once, though what nobody acknowledged comes again."""
    scripts = [(GRANTED, [topic], publish(topic) + garbage) for garbage in [*GARBAGE.values(), b""]]
    broker = Hostile(*scripts)
    expected = 2 * len(scripts)
    assert count_of(platform, configured, plain, broker, expected) == expected
    assert broker.connections == len(scripts)
    assert platform.rows("SELECT * FROM gaps") == []


def test_a_subscription_that_is_refused_is_tried_again(
    platform: Platform, configured: Settings, topic: bytes, plain: bool
) -> None:
    broker = Hostile((REFUSED, [], b""), (GRANTED, [topic], b""))
    assert count_of(platform, configured, plain, broker, 1) == 1


def test_a_topic_that_is_not_text_is_counted_in_its_place(
    platform: Platform, configured: Settings, topic: bytes, plain: bool
) -> None:
    """A new connection would not help: it would come again on each."""
    broker = Hostile((GRANTED, [b"roboticks/1/1/\xff\xfe", topic], b""))
    assert count_of(platform, configured, plain, broker, 2) == 2
    assert platform.rows("SELECT reason, messages FROM unattributed_messages") == [("malformed_topic", 1)]
    assert broker.connections == 1
