"""From the socket to the inbox: the fast path, and paho's own reading behind the same interface."""

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
# Of a flood at QoS 0 the socket has room for little: what does not fit, the broker's system puts together and
# sends in large pieces. With more room each message travels on its own, which doubles the broker's work.
# Not at QoS 1, where the broker waits for acknowledgements.
FLOOD_BYTES = 512 * 1024
ROOM_BYTES, AMPLE_BYTES = 128 * 1024, 1024 * 1024
LARGEST_READ = 1024 * 1024
SO_BUF_LOCK, RCVBUF_LOCKED = 72, 2  # of Linux; without the flag the system chooses the room again
REST = 256 * 1024  # a piece of a packet that is looked at: how large will it be?
LARGEST_HELD = 1024 * 1024  # bytes of a packet kept until it is whole; of a larger one, only its head
HEAD = 128 * 1024  # holds any topic, which ends at 64 KB, and the length of the properties
IDLE_SECONDS = 0.5


class Reader(Protocol):
    """Reads one connection. `patience` is how long to wait for the socket before the next read."""

    patience: float

    def read(self) -> int:
        """Take what is there; returns how many bytes, 0 when there was nothing. Errors end the link."""


class PlainReader:
    """paho reads, decodes and calls back."""

    def __init__(self, link: BrokerConnection, inbox: Buffer) -> None:
        self.patience = IDLE_SECONDS
        self._link = link
        self._inbox = inbox
        self._came = 0

    def read(self) -> int:
        before = self._came
        for _ in range(500):
            came = self._came
            self._link.read_with_paho(self._publish)
            if not self._link.alive or came == self._came:
                break
        return self._came - before

    def _publish(self, message: codec.Publish) -> None:
        self._came += len(message.topic) + message.size
        self._inbox.publish(message)


class FastReader:
    """Lets bytes gather, reads large chunks, counts them in one loop."""

    def __init__(self, link: BrokerConnection, inbox: Buffer) -> None:
        self.patience = IDLE_SECONDS
        self._link = link
        self._inbox = inbox
        self._wakes_at = 1
        self._rest = b""
        self._to_skip = 0  # bytes still to come of a packet too large to hold
        self._large: tuple[int, bytes, int] | None = None
        self._room = AMPLE_BYTES

    def read(self) -> int:
        sock = self._link.socket
        if sock is None:
            return 0
        try:
            chunk = sock.recv(LARGEST_READ)
        except BlockingIOError:
            self._relax(sock)
            return 0
        except OSError as error:
            self._link.lost(str(error))
            return 0
        if not chunk:
            self._link.lost("the broker closed the connection")
            return 0
        self._take(chunk)
        self._expect_more(sock, len(chunk))
        return len(chunk)

    def _take(self, chunk: bytes) -> None:
        self._link.heard()
        try:
            self._consume(chunk)
        except Malformed as error:
            self._link.lost(f"not MQTT: {error}")

    def _consume(self, chunk: bytes) -> None:
        if self._to_skip:
            chunk = self._skip(chunk)
        data = self._rest + chunk if self._rest else chunk
        if self._link.accepted is None and data[:1] != codec.CONNACK:
            raise Malformed("something before CONNACK")
        session = self._inbox.session
        done = codec.fold(data, self._link.v5, self._inbox.counts, session.arrivals, self._other)
        self._rest = data[done:]
        if len(self._rest) > REST:
            self._hold_head()

    def _hold_head(self) -> None:
        found = codec.length(self._rest)
        if found is None or found[0] < LARGEST_HELD:
            return
        size, start = found
        if self._rest[0] & 0xF0 != codec.PUBLISH:
            raise Malformed(f"packet type {self._rest[0] >> 4} of {size} bytes")
        self._large = (self._rest[0], self._rest[start : start + HEAD], size)
        self._to_skip = start + size - len(self._rest)
        self._rest = b""

    def _skip(self, chunk: bytes) -> bytes:
        skipped = min(self._to_skip, len(chunk))
        self._to_skip -= skipped
        if not self._to_skip and self._large:
            self._other(*self._large)
            self._large = None
        return chunk[skipped:]

    def _other(self, header: int, body: bytes, size: int) -> None:
        if header & 0xF0 == codec.PUBLISH:
            self._inbox.publish(codec.publish(header, body, size, self._link.v5))
        else:
            self._link.packet(header, body)

    def _expect_more(self, sock: Socket, received: int) -> None:
        self.patience = GATHER_SECONDS
        much = ROOM_BYTES // 2 if self._room == ROOM_BYTES else FLOOD_BYTES
        flood = received >= much and not self._inbox.session.arrivals
        self._make_room(sock, ROOM_BYTES if flood else AMPLE_BYTES)
        self._wake_at(sock, ROOM_BYTES // 2 if flood else GATHER_BYTES)

    def _make_room(self, sock: Socket, size: int) -> None:
        if size != self._room:
            self._room = size
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
                sock.setsockopt(socket.SOL_SOCKET, SO_BUF_LOCK, RCVBUF_LOCKED if size == ROOM_BYTES else 0)

    def _relax(self, sock: Socket) -> None:
        self.patience = IDLE_SECONDS
        self._wake_at(sock, 1)

    def _wake_at(self, sock: Socket, size: int) -> None:
        """Have select report the socket as readable from `size` bytes on, where the system can."""
        if size != self._wakes_at:
            self._wakes_at = size
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
