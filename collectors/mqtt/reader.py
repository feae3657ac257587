"""From the socket to the buffer: the fast path, and paho's own reading behind the same interface."""

import contextlib
import socket
from typing import Protocol

from collectors.mqtt import codec
from collectors.mqtt.buffer import Buffer
from collectors.mqtt.codec import Malformed
from collectors.mqtt.connection import BrokerConnection
from collectors.mqtt.tls import TlsStream

Socket = socket.socket | TlsStream

DECODER = "interpreted" if codec.__file__.endswith(".py") else "compiled"

GATHER_BYTES = 256 * 1024  # read when so much is there …
GATHER_SECONDS = 0.15  # … or after so long; each read of two or three packets would cost ten times more
# Under a QoS 0 flood the receive buffer is shrunk, so that the broker's kernel coalesces packets: otherwise
# each message travels on its own, which doubles the broker's CPU and halves the speed of a backlog. Not at
# QoS 1, where the broker waits for acknowledgements.
FLOOD_BYTES = 512 * 1024
SMALL_BUFFER_BYTES, LARGE_BUFFER_BYTES = 128 * 1024, 1024 * 1024
MAX_READ = 1024 * 1024
SO_BUF_LOCK, RCVBUF_LOCKED = 72, 2  # of Linux; without the flag the kernel sizes the buffer again
INSPECT_BYTES = 256 * 1024  # of an incomplete packet, from which on its length is looked at
MAX_HELD = 1024 * 1024  # bytes of a packet kept until it is whole; of a larger one, only its head
HEAD_BYTES = 128 * 1024  # holds any topic, which ends at 64 KB, and the length of the properties
IDLE_SECONDS = 0.5


class Reader(Protocol):
    """Reads one connection. `timeout`: seconds to wait for the socket before the next read."""

    timeout: float

    def receive(self) -> int:
        """Read and count messages; return the bytes read. Errors end the connection."""


class PlainReader:
    """Lets paho read, decode and call back."""

    def __init__(self, connection: BrokerConnection, buffer: Buffer) -> None:
        self.timeout = IDLE_SECONDS
        self._connection = connection
        self._buffer = buffer
        self._received = 0

    def receive(self) -> int:
        """Read once; return the bytes received."""
        before = self._received
        for _ in range(500):
            received = self._received
            self._connection.read_with_paho(self._publish)
            if not self._connection.alive or received == self._received:
                break
        return self._received - before

    def _publish(self, message: codec.Publish) -> None:
        self._received += len(message.topic) + message.size
        self._buffer.publish(message)


class FastReader:
    """Lets bytes gather, reads large chunks, counts them in one loop."""

    def __init__(self, connection: BrokerConnection, buffer: Buffer) -> None:
        self.timeout = IDLE_SECONDS
        self._connection = connection
        self._buffer = buffer
        self._low_water = 1
        self._incomplete = b""
        self._skip_bytes = 0  # bytes still to come of a packet too large to hold
        self._large: tuple[int, bytes, int] | None = None
        self._buffer_size = LARGE_BUFFER_BYTES

    def receive(self) -> int:
        """Read once; return the bytes received."""
        sock = self._connection.socket
        if sock is None:
            return 0
        try:
            chunk = sock.recv(MAX_READ)
        except BlockingIOError:
            self._wait_for_any(sock)
            return 0
        except OSError as error:
            self._connection.fail(str(error), by_broker=True)
            return 0
        if not chunk:
            self._connection.fail("the broker closed the connection", by_broker=True)
            return 0
        self._process(chunk)
        self._expect_more(sock, len(chunk))
        return len(chunk)

    def _process(self, chunk: bytes) -> None:
        self._connection.note_received()
        try:
            self._decode(chunk)
        except Malformed as error:
            self._connection.fail(f"not MQTT: {error}")

    def _decode(self, chunk: bytes) -> None:
        if self._skip_bytes:
            chunk = self._skip(chunk)
        data = self._incomplete + chunk if self._incomplete else chunk
        if self._connection.session_present is None and data[:1] != codec.CONNACK:
            raise Malformed("a packet before CONNACK")
        session = self._buffer.session
        consumed = codec.fold(
            data, self._connection.v5, self._buffer.counters, session.arrivals, self._handle_other
        )
        self._incomplete = data[consumed:]
        if len(self._incomplete) > INSPECT_BYTES:
            self._hold_head()

    def _hold_head(self) -> None:
        length = codec.length(self._incomplete)
        if length is None or length[0] < MAX_HELD:
            return
        size, start = length
        if self._incomplete[0] & 0xF0 != codec.PUBLISH:
            raise Malformed(f"packet type {self._incomplete[0] >> 4} of {size} bytes")
        self._large = (self._incomplete[0], self._incomplete[start : start + HEAD_BYTES], size)
        self._skip_bytes = start + size - len(self._incomplete)
        self._incomplete = b""

    def _skip(self, chunk: bytes) -> bytes:
        skipped = min(self._skip_bytes, len(chunk))
        self._skip_bytes -= skipped
        if not self._skip_bytes and self._large:
            self._handle_other(*self._large)
            self._large = None
        return chunk[skipped:]

    def _handle_other(self, header: int, body: bytes, size: int) -> None:
        if header & 0xF0 == codec.PUBLISH:
            self._buffer.publish(codec.publish(header, body, size, self._connection.v5))
        else:
            self._connection.handle_packet(header, body)

    def _expect_more(self, sock: Socket, received: int) -> None:
        self.timeout = GATHER_SECONDS
        flood_at = SMALL_BUFFER_BYTES // 2 if self._buffer_size == SMALL_BUFFER_BYTES else FLOOD_BYTES
        flood = received >= flood_at and not self._buffer.session.arrivals
        self._resize(sock, SMALL_BUFFER_BYTES if flood else LARGE_BUFFER_BYTES)
        self._set_low_water(sock, SMALL_BUFFER_BYTES // 2 if flood else GATHER_BYTES)

    def _resize(self, sock: Socket, size: int) -> None:
        if size != self._buffer_size:
            self._buffer_size = size
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
                sock.setsockopt(
                    socket.SOL_SOCKET, SO_BUF_LOCK, RCVBUF_LOCKED if size == SMALL_BUFFER_BYTES else 0
                )

    def _wait_for_any(self, sock: Socket) -> None:
        self.timeout = IDLE_SECONDS
        self._set_low_water(sock, 1)

    def _set_low_water(self, sock: Socket, size: int) -> None:
        """Have select report the socket as readable from `size` bytes on, where the system can."""
        if size != self._low_water:
            self._low_water = size
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
