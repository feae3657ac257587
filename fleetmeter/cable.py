"""A TCP cable between two programs of a drill, that can be cut in the middle of a packet."""

import contextlib
import random
import socket
import threading

LOOPBACK = "127.0.0.1"


class Cable:
    """Forwards every connection to `host:port`, until cut; new connections work again."""

    def __init__(self, host: str, port: int, seed: int) -> None:
        self._to = (host, port)
        self._random = random.Random(seed)  # noqa: S311 - faults to be repeated, not secrets
        self._listener = socket.create_server((LOOPBACK, 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """End every connection at once; what is under way is lost."""
        while self._pairs:
            for end in self._pairs.pop():
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(self._to, timeout=5)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                self._pairs.append((near, far))
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                # In two parts now and then, so that a cut leaves half a packet behind.
                part = self._random.randrange(len(data) + 1)
                sink.sendall(data[:part])
                sink.sendall(data[part:])
        for end in (source, sink):
            end.close()
