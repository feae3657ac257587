"""Forward TCP between two programs of a drill, and cut it in the middle of a packet."""

import contextlib
import random
import select
import socket
import ssl
import threading

LOOPBACK = "127.0.0.1"
MAX_CHUNK = 65_536  # bytes forwarded at once


class FaultProxy:
    """Forwards every connection to `host:port`, until cut; new connections work again.

    With `tls` it speaks that to the far end, and plainly to the near one, which is on this machine.
    """

    def __init__(self, host: str, port: int, seed: int, tls: ssl.SSLContext | None = None) -> None:
        self._to = (host, port)
        self._tls = tls
        self._random = random.Random(seed)  # noqa: S311 - faults to be repeated, not secrets
        self._listener = socket.create_server((LOOPBACK, 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Return the port on which the proxy listens."""
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """End every connection at once; bytes under way are lost."""
        while self._pairs:
            for end in self._pairs.pop():
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    socket.socket.shutdown(end, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the listener and every connection."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            far = socket.create_connection(self._to, timeout=5)
            if self._tls:
                far = self._tls.wrap_socket(far, server_hostname=self._to[0])
            with far:
                far.settimeout(None)
                self._pairs.append((near, far))
                self._forward(near, far)

    def _forward(self, near: socket.socket, far: socket.socket) -> None:
        """Forward both ways on one thread: OpenSSL allows no second for one connection."""
        while True:
            has_buffered = isinstance(far, ssl.SSLSocket) and far.pending()
            for source in [far] if has_buffered else select.select([near, far], [], [])[0]:
                data = source.recv(MAX_CHUNK)
                if not data:
                    return
                sink = near if source is far else far
                # In two parts now and then, so that a cut leaves half a packet behind.
                part = self._random.randrange(len(data) + 1)
                sink.sendall(data[:part])
                sink.sendall(data[part:])
