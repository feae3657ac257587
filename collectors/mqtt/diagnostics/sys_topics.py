"""Read how many messages a broker says it received, from mosquitto's `$SYS` topics.

A connection of its own reads them. mosquitto publishes them every `sys_interval`, ten seconds by default,
as retained messages.
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
RETAINED_TIMEOUT = 3.0  # seconds: a broker that has these topics sends the retained values at once
LIVE_TIMEOUT = 11.0  # seconds: one default interval
SAME_INTERVAL = 0.3  # seconds within which a broker publishes all its counters


class BrokerCount(NamedTuple):
    """Messages received since the broker started, and for how many seconds it has run."""

    broker: str
    received: int
    uptime_seconds: int


class _Listener:
    """Collects the latest value of both topics; `live` is set once they were published, not retained."""

    def __init__(self, broker: Endpoint) -> None:
        self.broker = broker
        self.values: dict[str, int] = {}
        self.complete, self.live = threading.Event(), threading.Event()
        self.failure = ""

    def on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:
        if reason.is_failure:
            self.failure = f"the broker refused the connection: {reason}"
            self.complete.set()
            return
        client.subscribe([(RECEIVED, 0), (UPTIME, 0)])

    def on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        digits = message.payload.split(b" ")[0]  # uptime is "123 seconds"
        if digits.isdigit():
            self.values[message.topic] = int(digits)
        if len(self.values) == 2:
            self.complete.set()
        # Only values that changed are published, and the uptime always changes.
        if message.topic == UPTIME and not message.retain:
            self.live.set()


def read(settings: Settings) -> BrokerCount | None:
    """Return the current count of the broker of MQTT_URL, None if it has none; takes up to 14 seconds.

    Raises SourceUnavailable if the broker cannot be reached.
    """
    try:
        broker = endpoint.from_settings(settings)
        listener = _Listener(broker)
        client = _connect(broker, listener)
    except (OSError, ValueError) as error:
        raise SourceUnavailable(f"the broker of MQTT_URL cannot be reached: {error}") from error
    client.loop_start()
    try:
        return _await_count(listener)
    finally:
        client.disconnect()
        client.loop_stop()


def _connect(broker: Endpoint, listener: _Listener) -> paho.Client:
    name = f"{broker.client_id}-reconcile-{secrets.token_hex(4)}"
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, reconnect_on_failure=False)
    client.username_pw_set(broker.username, broker.password)
    if broker.tls:
        client.tls_set_context(broker.tls)
    client.on_connect, client.on_message = listener.on_connect, listener.on_message
    client.connect(broker.host, broker.port, keepalive=30)
    return client


def _await_count(listener: _Listener) -> BrokerCount | None:
    listener.complete.wait(RETAINED_TIMEOUT)
    if listener.failure:
        raise SourceUnavailable(listener.failure)
    if len(listener.values) < 2:
        return None
    if listener.live.wait(LIVE_TIMEOUT):
        time.sleep(SAME_INTERVAL)
    return BrokerCount(listener.broker.name, listener.values[RECEIVED], listener.values[UPTIME])
