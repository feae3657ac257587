"""Read where the broker is and how to log in from MQTT_URL and its certificates."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import SplitResult, unquote, urlsplit

from collectors.mqtt.tls import GatheringContext
from metering.catalogue import brokers
from metering.config.settings import Settings

PREFIX = "fleetmeter"  # of client ids that are made for one connection


@dataclass(frozen=True)
class Endpoint:
    """Where the broker is and how to log in. `name` is fit to be logged."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    username: str | None
    password: str | None = field(repr=False)
    client_id: str

    @property
    def name(self) -> str:
        """Return host and port, as messages show them."""
        return f"{self.host}:{self.port}"

    @property
    def approximate(self) -> bool:
        """Return whether counts are approximate: the broker breaks MQTT's rules."""
        return brokers.is_approximate(self.host)


def from_settings(settings: Settings, client_id: str | None = None, gathering: bool = False) -> Endpoint:
    """Return the broker of MQTT_URL, which must be set. Raises OSError for unreadable certificates.

    `client_id` is MQTT_CLIENT_ID by default, else a prefix for short connections. `gathering`: read TLS in
    large chunks, which paho's own reading cannot do.
    """
    parts, (host, port) = _parts(settings), address(settings)
    return Endpoint(
        host=host,
        port=port,
        tls=_context(settings, parts.port, gathering) if parts.scheme == "mqtts" else None,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        client_id=client_id or settings.mqtt_client_id or PREFIX,
    )


def address(settings: Settings) -> tuple[str, int]:
    """Return host and port of MQTT_URL, which must be set."""
    parts = _parts(settings)
    return parts.hostname or "", parts.port or (8883 if parts.scheme == "mqtts" else 1883)


def _parts(settings: Settings) -> SplitResult:
    return urlsplit(settings.mqtt_url.get_secret_value() if settings.mqtt_url else "")


def _context(settings: Settings, port: int | None, gathering: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=_text(settings.mqtt_ca_file))
    if settings.mqtt_cert_file:
        context.load_cert_chain(settings.mqtt_cert_file, _text(settings.mqtt_key_file))
    if port == 443:  # AWS IoT Core tells MQTT from HTTPS by this name
        context.set_alpn_protocols(["x-amzn-mqtt-ca"])
    return cast("ssl.SSLContext", GatheringContext(context)) if gathering else context


def _text(path: Path | None) -> str | None:
    return str(path) if path else None
