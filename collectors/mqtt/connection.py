"""One connection to the broker: paho does CONNECT, TLS, authentication, keepalive and SUBSCRIBE."""

import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from collectors.mqtt.codec import Malformed, Publish
from collectors.mqtt.endpoint import Endpoint
from collectors.mqtt.paho_client import KEEPALIVE, PahoClient, topic_of
from collectors.mqtt.session import RECEIVE_MAXIMUM
from collectors.mqtt.tls import TlsStream

NEVER = 0xFFFFFFFF  # MQTT 5 session expiry: the broker keeps the session for good
CLOSED = 128  # paho's reason for a connection that the other side has closed
UNSUPPORTED_VERSION = 132  # MQTT 5 reason code; paho maps 3.1.1's code 1 to it


class BrokerConnection:
    """One connection, from CONNECT until it is lost; make a new one to reconnect.

    `session_present` is None until the broker has accepted, then whether it had kept the session.
    `failure` is the reason why the connection ended or was refused; `retry_with_v311` is true if MQTT
    3.1.1 is worth a try.
    """

    def __init__(
        self,
        broker: Endpoint,
        v5: bool,
        on_connected: Callable[[bool], None],
        on_confirmed: Callable[[int], None],
        receive_maximum: int = RECEIVE_MAXIMUM,
    ) -> None:
        """Connect.

        `on_connected(session_present)` is called before any PUBLISH, `on_confirmed(n)` when the broker is
        known to have processed n PUBACKs.
        """
        self.v5 = v5
        self._on_connected = on_connected
        self._on_confirmed = on_confirmed
        self._pings: deque[int] = deque()  # of each PINGREQ without an answer: PUBACKs sent before it
        self._acks_sent = 0
        self.session_present: bool | None = None
        self.failure: str | None = None
        self.retry_with_v311 = False
        self.subscribed = False
        self.unsubscribed = False
        self.connected_at = 0.0  # monotonic seconds, of the broker's CONNACK
        self.ended_by_broker = False
        self._client = PahoClient(broker.client_id, v5, self._on_ping, self._on_pong)
        self._client.username_pw_set(broker.username, broker.password)
        if broker.tls:
            self._client.tls_set_context(broker.tls)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_unsubscribe = self._on_unsubscribe
        self._connect(broker, receive_maximum)

    def _connect(self, broker: Endpoint, receive_maximum: int) -> None:
        options: dict[str, Any] = {}
        if self.v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = NEVER
            properties.ReceiveMaximum = receive_maximum
            options = {"clean_start": False, "properties": properties}
        try:
            self._client.connect(broker.host, broker.port, KEEPALIVE, **options)
        except (OSError, ValueError) as error:
            self.failure = str(error) or type(error).__name__
            return

    @property
    def socket(self) -> socket.socket | TlsStream | None:
        """Return the socket; None once the connection is over."""
        return cast("socket.socket | TlsStream | None", self._client.socket())

    @property
    def alive(self) -> bool:
        """Return whether the connection stands."""
        return self.failure is None and self.socket is not None

    @property
    def has_output(self) -> bool:
        """Return whether bytes wait to be written."""
        return self._client.want_write()

    def send_output(self) -> None:
        """Send queued bytes, as many as the socket takes."""
        self._client.loop_write()

    def check_keepalive(self) -> None:
        """Send a ping if one is due, and end a dead connection; call it at least once a second."""
        self._client.loop_misc()

    def subscribe(self, topic_filter: str) -> None:
        """Subscribe at QoS 1; with MQTT 5 retained messages are not replayed, and live ones lose the flag."""
        if self.v5:
            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            self._client.subscribe(topic_filter, options=options)
        else:
            self._client.subscribe(topic_filter, qos=1)

    def unsubscribe(self, topic_filter: str) -> None:
        """End a subscription; `unsubscribed` is true once the broker has confirmed it."""
        self.unsubscribed = False
        self._client.unsubscribe(topic_filter)

    def acknowledge(self, pubacks: bytes, count: int) -> None:
        """Send these PUBACKs, and a PINGREQ whose answer confirms them."""
        if not self.alive:
            return
        self._client.send_pubacks(pubacks)
        self._acks_sent += count
        if self.alive:
            self._client.send_ping()

    def note_received(self) -> None:
        """Restart the keepalive: bytes were read without paho."""
        self._client.note_received()

    def keep_alive_while_paused(self) -> None:
        """Ping while reading is paused; expect no answers, which wait behind unread messages."""
        self._client.keep_alive_while_paused()

    def handle_packet(self, header: int, body: bytes) -> None:
        """Let paho handle a packet that is not a PUBLISH. Raises Malformed."""
        self._client.handle_packet(header, body)
        self._disconnect_if_failed()

    def read_with_paho(self, publish: Callable[[Publish], None]) -> None:
        """Let paho read and decode; `publish` is called for each PUBLISH."""

        def on_message(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
            if self.session_present is None or message.qos > 1 or (message.qos and not message.mid):
                raise Malformed("a PUBLISH before CONNACK, at QoS 2, or with packet id 0")
            packet_id = message.mid.to_bytes(2, "big") if message.qos else b""
            publish(Publish(topic_of(message), packet_id, message.dup, message.retain, len(message.payload)))

        self._client.on_message = on_message
        try:
            self._client.loop_read()
            self._disconnect_if_failed()
        except Malformed as error:
            self.fail(str(error))
        except Exception as error:  # the same dozen kinds
            self.fail(f"paho: {error}")

    def _disconnect_if_failed(self) -> None:
        # Not inside a callback: paho would wait for its own lock, which it holds during one.
        if self.failure is not None and self.socket is not None:
            self.fail(self.failure)

    def fail(self, reason: str, by_broker: bool = False) -> None:
        """Give the connection up, for `reason`; `by_broker`: the other side has closed it."""
        if self.failure is None:
            self.ended_by_broker = by_broker
            self.retry_with_v311 = self.session_present is None
            self.failure = reason
        self._client.end()

    def close(self) -> None:
        """Disconnect; the broker keeps the session."""
        self._client.disconnect()
        self.failure = self.failure or "closed"

    def _on_ping(self) -> None:
        self._pings.append(self._acks_sent)

    def _on_pong(self) -> None:
        if self._pings:
            self._on_confirmed(self._pings.popleft())

    def _on_connect(
        self, _client: Any, _data: Any, flags: Any, reason: Any, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self.failure = f"the broker refused: {reason}"
            self.retry_with_v311 = reason.value == UNSUPPORTED_VERSION
        elif self.session_present is not None:  # taken at its word, it would start a new session
            self.failure = "not MQTT: a second CONNACK"
        else:
            self.session_present = bool(flags.session_present)
            self.connected_at = time.monotonic()
            self._on_connected(self.session_present)

    def _on_subscribe(
        self, _client: Any, _data: Any, _mid: int, reasons: list[Any], _properties: Any
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self.failure = f"the broker refused the subscription: {reasons[0]}"
        else:
            self.subscribed = True

    def _on_unsubscribe(
        self, _client: Any, _data: Any, _mid: int, _reasons: list[Any], _properties: Any
    ) -> None:
        self.unsubscribed = True

    def _on_disconnect(self, _client: Any, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if self.failure is None:
            # A broker that does not know MQTT 5 may hang up instead of saying so.
            self.retry_with_v311 = self.session_present is None
            self.ended_by_broker = flags.is_disconnect_packet_from_server or reason.value == CLOSED
            self.failure = f"connection lost: {reason}"
