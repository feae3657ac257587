"""A short connection to the broker on paho's public parts, under a client id of its own: for `checks`."""

import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from collectors.mqtt.endpoint import Endpoint

ANSWER_TIMEOUT = 5.0  # seconds that the broker gets for each answer
RECEIVE_MAXIMUM = 65_535  # the most that MQTT 5 lets a broker send ahead of our acknowledgements
EXPIRY = 60  # seconds after which the broker forgets a session that we could not remove
UNSUPPORTED_VERSION = 132  # MQTT 5 reason code


class ConnectionRefused(Exception):
    """The broker refuses the connection; `retry_with_v311` is true if MQTT 3.1.1 is worth a try."""

    def __init__(self, reason: str, retry_with_v311: bool) -> None:
        super().__init__(reason)
        self.retry_with_v311 = retry_with_v311


class ProbeClient:
    """One connection, from CONNECT to `disconnect`. Nothing is acknowledged unless asked for.

    Raises OSError if the broker cannot be reached or trusted, ConnectionRefused if it refuses.
    """

    def __init__(self, broker: Endpoint, client_id: str, v5: bool, clean: bool = False) -> None:
        self.v5 = v5
        self.session_present = False
        self.limits: dict[str, Any] = {}  # of CONNACK, by an MQTT 5 broker
        self.messages: deque[paho.MQTTMessage] = deque()
        self._subscriptions: dict[int, bool] = {}  # packet id -> granted
        self._refusal: tuple[str, int] | None = None
        self._lost: str | None = None
        self._connected = False
        self._client = self._create(broker, client_id, clean)
        options: dict[str, Any] = {"clean_start": clean, "properties": _properties(clean)} if v5 else {}
        self._client.connect(broker.host, broker.port, keepalive=30, **options)
        self.wait(lambda: self._connected or self._refusal is not None or self._lost is not None)
        self._require_connection()

    def _create(self, broker: Endpoint, client_id: str, clean: bool) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if self.v5 else clean,
            protocol=MQTTProtocolVersion.MQTTv5 if self.v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = ANSWER_TIMEOUT
        client.max_inflight_messages_set(1000)
        client.username_pw_set(broker.username, broker.password)
        if broker.tls:
            client.tls_set_context(broker.tls)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message, client.on_subscribe = self._on_message, self._on_subscribe
        return client

    def _require_connection(self) -> None:
        if self._refusal is not None:
            reason, code = self._refusal
            raise ConnectionRefused(reason, retry_with_v311=code == UNSUPPORTED_VERSION)
        if not self._connected:
            # A broker that does not know MQTT 5 may hang up instead of saying so.
            hung_up = self._lost is not None
            raise ConnectionRefused(self._lost or "it does not answer", retry_with_v311=self.v5 and hung_up)

    def wait(self, is_done: Callable[[], bool], seconds: float = ANSWER_TIMEOUT) -> bool:
        """Serve the connection until `is_done()`, its end, or a timeout; return `is_done()`."""
        until = time.monotonic() + seconds
        while not is_done() and self._lost is None and time.monotonic() < until:
            self._client.loop(0.02)
        return is_done()

    def subscribe(self, topic_filter: str, qos: int) -> bool:
        """Subscribe; return whether the broker granted it."""
        packet_id = self._client.subscribe(topic_filter, qos)[1]
        self.wait(lambda: packet_id in self._subscriptions)
        return packet_id is not None and self._subscriptions.get(packet_id, False)

    def publish(self, topic: str, count: int) -> bool:
        """Publish `count` empty messages at QoS 1; return whether the broker accepted all of them."""
        published = [self._client.publish(topic, b"", qos=1) for _ in range(count)]
        return self.wait(lambda: all(info.is_published() for info in published))

    def unsubscribe(self, topic_filter: str) -> None:
        """End a subscription; the answer is not awaited."""
        self._client.unsubscribe(topic_filter)

    def acknowledge(self) -> int:
        """Acknowledge and forget every message received; return their number."""
        count = len(self.messages)
        for _ in range(count):
            message = self.messages.popleft()
            self._client.ack(message.mid, message.qos)
        return count

    def disconnect(self) -> None:
        """Send DISCONNECT and wait until it has left."""
        self._client.disconnect()
        with contextlib.suppress(OSError):
            self.wait(lambda: not self._client.want_write(), 1)

    def _on_connect(self, _c: Any, _d: Any, flags: Any, reason: Any, properties: Properties | None) -> None:
        if reason.is_failure:
            self._refusal = (str(reason), reason.value)
            return
        self._connected, self.session_present = True, bool(flags.session_present)
        self.limits = properties.json() if properties else {}  # type: ignore[no-untyped-call]

    def _on_disconnect(self, _c: Any, _d: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._lost = self._lost or f"it closed the connection: {reason}"

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self.messages.append(message)

    def _on_subscribe(self, _c: Any, _d: Any, packet_id: int, reasons: list[Any], _properties: Any) -> None:
        self._subscriptions[packet_id] = not any(reason.is_failure for reason in reasons)


def _properties(clean: bool) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 0 if clean else EXPIRY
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    return properties
