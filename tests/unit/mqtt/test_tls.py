"""TLS read in large chunks: nothing is lost, whatever the sizes, and nobody is trusted blindly."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.mqtt.tls import GatheringContext, TlsStream


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*make, *names, *files], cwd=folder, check=True, capture_output=True)
    return folder


class Pair:
    """A stream of ours and the other side's SSLSocket, connected."""

    def __init__(self, folder: Path, trusted: Path | None, name: str = "localhost") -> None:
        near, far = socket.socketpair()
        near.settimeout(10)
        far.settimeout(10)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        serving.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.far: ssl.SSLSocket | None = None
        answering = threading.Thread(target=self._answer, args=(serving, far))
        answering.start()
        context = GatheringContext(ssl.create_default_context(cafile=trusted))
        self.near: TlsStream = context.wrap_socket(near, server_hostname=name)
        try:
            self.near.do_handshake()
        finally:
            answering.join()
        self.near.setblocking(False)

    def _answer(self, context: ssl.SSLContext, far: socket.socket) -> None:
        try:
            self.far = context.wrap_socket(far, server_side=True)
        except ssl.SSLError:
            far.close()

    def received(self, size: int) -> bytes:
        assert self.far
        return b"".join(iter(lambda: self.far.recv(size), b""))  # type: ignore[union-attr]


@pytest.fixture
def pair(certificate: Path) -> Iterator[Pair]:
    sockets = Pair(certificate, certificate / "cert.pem")
    yield sockets
    sockets.near.close()


def test_records_of_any_size_come_together_in_order(pair: Pair) -> None:
    assert pair.far
    parts = [bytes([n % 256]) * (1 + 37 * n % 20_000) for n in range(300)]
    sending = threading.Thread(target=lambda: [pair.far.sendall(part) for part in parts])  # type: ignore[union-attr,func-returns-value]
    sending.start()
    expected, came = b"".join(parts), b""
    while len(came) < len(expected):
        try:
            came += pair.near.recv(50_001)
        except BlockingIOError:
            continue
    sending.join()
    assert came == expected
    with pytest.raises(BlockingIOError):
        pair.near.recv(50_001)


def test_what_a_full_socket_refused_is_sent_later_and_once(pair: Pair) -> None:
    data = bytes(range(256)) * 4_000
    with pytest.raises(BlockingIOError):  # nobody reads
        pair.near.send(data)
    came: list[bytes] = []
    reading = threading.Thread(target=lambda: came.append(pair.received(65_536)))
    reading.start()
    offset = 0
    while offset < len(data):
        try:
            offset += pair.near.send(data[offset:])
        except BlockingIOError:
            continue
    pair.near.close()
    reading.join()
    assert b"".join(came) == data


@pytest.mark.parametrize("trusted", [True, False])
def test_who_is_not_trusted_or_has_another_name_is_refused(certificate: Path, trusted: bool) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        if trusted:
            Pair(certificate, certificate / "cert.pem", "elsewhere.example.com")
        else:
            Pair(certificate, None)


def test_bytes_that_are_not_tls_are_an_error(pair: Pair) -> None:
    assert pair.far
    raw = socket.socket(fileno=pair.far.detach())
    raw.sendall(b"this is not a record")
    with pytest.raises(ssl.SSLError):
        pair.near.recv(1000)
    raw.close()


def test_the_end_of_the_connection_is_seen(pair: Pair) -> None:
    assert pair.far
    pair.far.sendall(b"last words")
    pair.far.close()
    assert pair.near.recv(1000) == b"last words"
    assert pair.near.recv(1000) == b""
