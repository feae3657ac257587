"""TLS over a socket, read in large chunks, with the methods of SSLContext and SSLSocket that paho needs.

A broker writes a record for each packet. An SSLSocket makes two system calls for each record; here
one fetches thousands, which are decrypted from memory. It costs a third.
"""

import contextlib
import socket
import ssl
from functools import partial
from typing import Any

HANDSHAKE_READ = 64 * 1024
LARGEST_RECORD = 16 * 1024  # asking for more would only allocate more, each time
SMALL_RECORD = 448  # and asking for so little is cheapest, where records are smaller than half of it


class GatheringContext:
    """An SSLContext whose sockets are `TlsStream`s."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.check_hostname = context.check_hostname

    def wrap_socket(
        self, sock: socket.socket, server_hostname: str | None = None, **_options: Any
    ) -> "TlsStream":
        """Wrap `sock` as `ssl.SSLContext.wrap_socket` does, without the handshake."""
        return TlsStream(self._context, sock, server_hostname)


class TlsStream:
    """An encrypted connection, with the socket methods that an MQTT client uses."""

    def __init__(self, context: ssl.SSLContext, sock: socket.socket, server_hostname: str | None) -> None:
        self._socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        # SSLObject's own read is a Python call around this one, and costs a fifth of a small record.
        self._read = getattr(self._tls, "_sslobj", self._tls).read
        self._record_size = LARGEST_RECORD
        self._unsent = b""
        self._promised = 0  # bytes of the caller's that are encrypted and not yet reported as sent

    def do_handshake(self) -> None:
        """Do the TLS handshake; blocks. Raises OSError (ssl.SSLError is one) without trust or an answer."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._socket.sendall(self._outgoing.read())
                self._incoming.write(self._fetch(HANDSHAKE_READ))
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._socket.sendall(self._outgoing.read())  # tells the broker the reason
                raise
            else:
                self._socket.sendall(self._outgoing.read())
                return

    def recv(self, size: int) -> bytes:
        """Return the decrypted bytes of `size` bytes from the network; b"" at the end. Raises OSError.

        Raises BlockingIOError when that is nothing yet.
        """
        encrypted = self._socket.recv(size)
        if not encrypted:
            return b""
        self._incoming.write(encrypted)
        records: list[bytes] = []
        # No loop of ours: it would cost as much as reading a record does. What was read before the
        # error stays in the list. An empty one: the broker says goodbye, and the socket ends after it.
        with contextlib.suppress(ssl.SSLWantReadError):
            records.extend(iter(partial(self._read, self._record_size), b""))
        with contextlib.suppress(BlockingIOError):
            self._push()  # messages of TLS itself, such as new keys
        if not records:
            raise BlockingIOError
        data = b"".join(records)
        self._record_size = SMALL_RECORD if len(data) < len(records) * SMALL_RECORD // 2 else LARGEST_RECORD
        return data

    def send(self, data: bytes) -> int:
        """Encrypt and send `data`; return how much of it is gone.

        Raises BlockingIOError when the socket is full: call again later, with the same data, as
        OpenSSL demands it too.
        """
        if not self._promised:
            self._promised = self._tls.write(data)
        self._push()
        written, self._promised = self._promised, 0
        return written

    def fileno(self) -> int:
        """Return the descriptor of the socket below."""
        return self._socket.fileno()

    def settimeout(self, seconds: float | None) -> None:
        """Set the timeout of the socket below."""
        self._socket.settimeout(seconds)

    def setblocking(self, flag: bool) -> None:
        """Set the socket below blocking or not."""
        self._socket.setblocking(flag)

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """Set an option of the socket below."""
        self._socket.setsockopt(level, option, value)

    def pending(self) -> int:
        """Return 0: `recv` has returned every decrypted byte."""
        return 0

    def getpeercert(self) -> dict[str, Any] | None:
        """Return the broker's certificate, as `ssl.SSLSocket` does."""
        return self._tls.getpeercert()

    def close(self) -> None:
        """Close the socket below."""
        self._socket.close()

    def _fetch(self, size: int) -> bytes:
        data = self._socket.recv(size)
        if not data:
            raise ConnectionResetError("the broker closed the connection during the TLS handshake")
        return data

    def _push(self) -> None:
        self._unsent += self._outgoing.read()
        while self._unsent:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
