"""A publisher of MQTT messages that costs little CPU, so that a benchmark measures broker and consumer."""

import os
import socket
import threading
import time
from collections.abc import Sequence

PAYLOAD = bytes(64)


class FastPublisher:
    """A publisher that costs little: packets made beforehand, acknowledgements only counted."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        name = f"publisher-{os.getpid()}-{id(self)}".encode()
        body = b"\0\4MQTT\4\2\0\0" + len(name).to_bytes(2, "big") + name
        self._socket.sendall(bytes([0x10, len(body)]) + body)
        assert self._socket.recv(4)[:1] == b"\x20"

    def send(self, topics: Sequence[bytes], count: int, qos: int, rate: float | None = None) -> None:
        """Publish `count` messages, cycling through `topics`; return when the broker accepted them."""
        acknowledged = threading.Thread(target=self._drain, args=(4 * count if qos else 0,))
        acknowledged.start()
        packets = [_publish(topic, qos) for topic in topics]
        began, published = time.monotonic(), 0
        while published < count:
            size = min(2000 if rate is None else max(1, int(rate / 100)), count - published)
            self._socket.sendall(
                b"".join(packets[n % len(packets)] for n in range(published, published + size))
            )
            published += size
            if rate:
                time.sleep(max(0.0, began + published / rate - time.monotonic()))
        acknowledged.join()
        if not qos:
            self._socket.sendall(b"\xc0\0")
            assert self._socket.recv(2) == b"\xd0\0"

    def close(self) -> None:
        """Disconnect."""
        self._socket.sendall(b"\xe0\0")
        self._socket.close()

    def _drain(self, size: int) -> None:
        while size:
            size -= len(self._socket.recv(min(size, 65_536)))


def _publish(topic: bytes, qos: int) -> bytes:
    """Return a packet with packet id 1: the broker answers before it reads the next one."""
    body = len(topic).to_bytes(2, "big") + topic + b"\0\1"[: 2 * qos] + PAYLOAD
    size = bytes([len(body)]) if len(body) < 128 else bytes([len(body) % 128 | 128, len(body) // 128])
    return bytes([0x30 | qos << 1]) + size + body
