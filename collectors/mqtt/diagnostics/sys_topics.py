"""How many messages a broker says it received: mosquitto's `$SYS` topics, read over a connection of its own.

mosquitto publishes them every `sys_interval`, ten seconds by default, and keeps the last ones.
"""

import secrets
import threading
import time
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from collectors.mqtt import endpoint
from collectors.mqtt.endpoint import Endpoint
from metering.config.settings import Settings
from metering.errors import SourceUnavailable

RECEIVED, UPTIME = "$SYS/broker/publish/messages/received", "$SYS/broker/uptime"
KNOWN_WITHIN = 3.0  # seconds: a broker that has these topics sends what it kept at once
FRESH_WITHIN = 11.0  # seconds: one default interval
TOGETHER = 0.3  # seconds within which a broker publishes all its counters


class OwnCount(NamedTuple):
    """Messages received since the broker started, and for how many seconds it has run."""

    broker: str
    received: int
    uptime_seconds: int


class _Listener:
    """The latest of both topics; `fresh` once they came live and not as what was kept."""

    def __init__(self, broker: Endpoint) -> None:
        self.broker = broker
        self.values: dict[str, int] = {}
        self.known, self.fresh = threading.Event(), threading.Event()
        self.failure = ""

    def on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:
        if reason.is_failure:
            self.failure = f"the broker refused the connection: {reason}"
            self.known.set()
            return
        client.subscribe([(RECEIVED, 0), (UPTIME, 0)])

    def on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        digits = message.payload.split(b" ")[0]  # uptime is "123 seconds"
        if digits.isdigit():
            self.values[message.topic] = int(digits)
        if len(self.values) == 2:
            self.known.set()
        # The uptime is the one that always changes: of the others only those that did are published.
        if message.topic == UPTIME and not message.retain:
            self.fresh.set()


def read(settings: Settings) -> OwnCount | None:
    """What the broker of MQTT_URL says now, None where it says nothing; takes up to eleven seconds.

    Raises SourceUnavailable when it cannot be reached.
    """
    try:
        broker = endpoint.of(settings)
        listener = _Listener(broker)
        client = _connected(broker, listener)
    except (OSError, ValueError) as error:
        raise SourceUnavailable(f"the broker of MQTT_URL cannot be reached: {error}") from error
    client.loop_start()
    try:
        return _heard(listener)
    finally:
        client.disconnect()
        client.loop_stop()


def _connected(broker: Endpoint, listener: _Listener) -> paho.Client:
    name = f"{broker.client_id}-reconcile-{secrets.token_hex(4)}"
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, reconnect_on_failure=False)
    client.username_pw_set(broker.username, broker.password)
    if broker.tls:
        client.tls_set_context(broker.tls)
    client.on_connect, client.on_message = listener.on_connect, listener.on_message
    client.connect(broker.host, broker.port, keepalive=30)
    return client


def _heard(listener: _Listener) -> OwnCount | None:
    listener.known.wait(KNOWN_WITHIN)
    if listener.failure:
        raise SourceUnavailable(listener.failure)
    if len(listener.values) < 2:
        return None
    if listener.fresh.wait(FRESH_WITHIN):
        time.sleep(TOGETHER)
    return OwnCount(listener.broker.name, listener.values[RECEIVED], listener.values[UPTIME])
