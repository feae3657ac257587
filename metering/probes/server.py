"""Serve /healthz, /readyz and /metrics of a process without pages, on a thread of its own.

`/healthz` tells whether the process still works, `/readyz` whether it does its work. Both answer 503 with
the reason otherwise. The process stores its figures where `Probes` reads them for a request.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric

from metering.config.settings import Settings
from metering.errors import SettingsError
from metering.probes.access import REFUSAL, require_closed, trusted

REQUEST_SECONDS = 5  # that a client gets to send its request
TEXT = "text/plain; charset=utf-8"


class Probes(Protocol):
    """What a process answers; each method is called from threads of the server."""

    def collect(self) -> Iterable[Metric]:
        """Return the current figures."""

    def not_live(self) -> str | None:
        """Return the reason to restart the process, None if it works."""

    def not_ready(self) -> str | None:
        """Return the reason why the process does not do its work, None if it does."""


@contextmanager
def serving(probes: Probes, settings: Settings, port: int | None) -> Iterator[None]:
    """Answer on `port` of FLEETMETER_METRICS_ADDRESS inside the context; None serves nothing.

    Raises SettingsError if the port cannot be had, or would be open to other machines without a token.
    """
    if port is None:
        yield
        return
    require_closed(settings)
    server = _open_server(probes, settings, port)
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _open_server(probes: Probes, settings: Settings, port: int) -> ThreadingHTTPServer:
    class Server(ThreadingHTTPServer):
        address_family = AF_INET6 if ":" in settings.metrics_address else AF_INET
        daemon_threads = True

    try:
        return Server((settings.metrics_address, port), _handler(probes, settings))
    except OSError as error:
        where = f"{settings.metrics_address}, port {port}"
        raise SettingsError(f"cannot serve metrics on {where}: {error.strerror or error}") from error


def _handler(probes: Probes, settings: Settings) -> type[BaseHTTPRequestHandler]:
    registry = CollectorRegistry()
    registry.register(probes)

    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_SECONDS

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/healthz":
                    self._respond("ok", "not live", probes.not_live())
                case "/readyz":
                    self._respond("ready", "not ready", probes.not_ready())
                case "/metrics" if not trusted(self.headers.get("Authorization", ""), settings):
                    self._answer(401, REFUSAL.encode())
                case "/metrics":
                    self._answer(200, generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4)
                case _:
                    self._answer(404, b"there are /healthz, /readyz and /metrics\n")

        def _respond(self, good: str, bad: str, reason: str | None) -> None:
            text = good if reason is None else f"{bad}: {reason}"
            self._answer(200 if reason is None else 503, f"{text}\n".encode())

        def _answer(self, status: int, body: bytes, kind: str = TEXT) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", "Bearer")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Log nothing: probes come every few seconds."""

    return Handler
