"""One connection to the broker, on paho: the only module that knows paho's private parts.

paho does CONNECT, TLS, authentication, keepalive, SUBSCRIBE and every packet but PUBLISH. Private
names used here, pinned by the version range in pyproject.toml and by tests/unit/mqtt/test_connection.py:
`_in_packet`, `_packet_handle`, `_packet_queue`, `_loop_rc_handle`, `_send_pingreq`,
`_handle_pingresp`, `_ping_t`, `_last_msg_out`, `_last_bytes_received`, and a message's `_topic`.
"""

import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from collectors.mqtt.codec import Malformed, Publish
from collectors.mqtt.endpoint import Endpoint
from collectors.mqtt.session import WINDOW
from collectors.mqtt.tls import TlsStream

KEEPALIVE = 30  # seconds
NEVER = 0xFFFFFFFF  # MQTT 5 session expiry: the broker keeps the session for good
UNSUPPORTED_VERSION = 132  # MQTT 5 reason code; paho maps 3.1.1's code 1 to it


class _Client(paho.Client):
    """paho's client, telling which PINGREQ a PINGRESP answers."""

    def __init__(self, link: "BrokerConnection", client_id: str, v5: bool) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if v5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self._link = link

    def _send_pingreq(self) -> MQTTErrorCode:
        self._link.pings.append(self._link.acknowledged)
        return super()._send_pingreq()

    def _handle_pingresp(self) -> MQTTErrorCode:
        if self._link.pings:
            self._link.proven(self._link.pings.popleft())
        return super()._handle_pingresp()


class BrokerConnection:
    """One connection, from CONNECT until it is lost; make a new one to reconnect.

    `accepted` is None until the broker answered, then whether it kept the session. `failure` says
    why the connection ended or was refused; `wants_older`, that MQTT 3.1.1 is worth a try.
    """

    def __init__(
        self,
        to: Endpoint,
        v5: bool,
        accepted: Callable[[bool], None],
        proven: Callable[[int], None],
    ) -> None:
        """`accepted(kept)` is called before any PUBLISH, `proven(n)` when n PUBACKs are processed."""
        self.v5 = v5
        self._accepted = accepted
        self.proven = proven
        self.pings: deque[int] = deque()
        self.acknowledged = 0
        self.accepted: bool | None = None
        self.failure: str | None = None
        self.wants_older = False
        self.subscribed = False
        self._client = _Client(self, to.client_id, v5)
        self._client.username_pw_set(to.username, to.password)
        if to.tls:
            self._client.tls_set_context(to.tls)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._connect(to)

    def _connect(self, to: Endpoint) -> None:
        options: dict[str, Any] = {}
        if self.v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = NEVER
            properties.ReceiveMaximum = WINDOW
            options = {"clean_start": False, "properties": properties}
        try:
            self._client.connect(to.host, to.port, KEEPALIVE, **options)
        except (OSError, ValueError) as error:
            self.failure = str(error) or type(error).__name__
            return

    @property
    def socket(self) -> socket.socket | TlsStream | None:
        """The socket, None once the connection is over."""
        return cast("socket.socket | TlsStream | None", self._client.socket())

    @property
    def alive(self) -> bool:
        return self.failure is None and self.socket is not None

    @property
    def want_write(self) -> bool:
        return self._client.want_write()

    def write(self) -> None:
        """Send what is queued, as far as the socket takes it."""
        self._client.loop_write()

    def tend(self) -> None:
        """Keepalive; to be called at least every second."""
        self._client.loop_misc()

    def subscribe(self, topic_filter: str) -> None:
        """At QoS 1. MQTT 5 is asked not to replay retained messages and to clear the flag on live ones."""
        if self.v5:
            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            self._client.subscribe(topic_filter, options=options)
        else:
            self._client.subscribe(topic_filter, qos=1)

    def acknowledge(self, pubacks: bytes, count: int) -> None:
        """Send these PUBACKs and a PINGREQ whose answer proves them."""
        if not self.alive:
            return
        self._client._packet_queue(0x40, pubacks, 0, 0)
        self.acknowledged += count
        if self.alive:
            self._client._send_pingreq()

    def heard(self) -> None:
        """Bytes came in behind paho's back; the keepalive counts from here."""
        self._client._last_bytes_received = time.monotonic()

    def stay(self) -> None:
        """Keep the connection while nothing is read: the answers to our pings wait behind messages."""
        self.heard()
        if time.monotonic() - self._client._last_msg_out > KEEPALIVE / 2:
            self._client._send_pingreq()
            self._client._ping_t = 0.0
            self._client._last_msg_out = time.monotonic()

    def packet(self, header: int, body: bytes) -> None:
        """Let paho handle a packet that is not a PUBLISH. Raises Malformed."""
        self._client._in_packet = {
            "command": header,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": bytearray(body),
            "to_process": 0,
            "pos": 0,
        }
        try:
            code = self._client._packet_handle()
        except Exception as error:  # paho raises a dozen kinds for bytes that make no sense
            raise Malformed(f"packet type {header >> 4}: {error}") from error
        if code:
            self._client._loop_rc_handle(code)
        self._hang_up_if_failed()

    def read_with_paho(self, publish: Callable[[Publish], None]) -> None:
        """The plain path: let paho read, decode and call back for each PUBLISH."""

        def on_message(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
            if self.accepted is None or message.qos > 1 or (message.qos and not message.mid):
                raise Malformed("a PUBLISH before CONNACK, at QoS 2, or with packet id 0")
            packet_id = message.mid.to_bytes(2, "big") if message.qos else b""
            publish(Publish(message._topic, packet_id, message.dup, message.retain, len(message.payload)))

        self._client.on_message = on_message
        try:
            self._client.loop_read()
            self._hang_up_if_failed()
        except Malformed as error:
            self.lost(str(error))
        except Exception as error:  # the same dozen kinds
            self.lost(f"paho: {error}")

    def _hang_up_if_failed(self) -> None:
        # Not inside a callback: paho would wait for its own lock, which it holds during one.
        if self.failure is not None and self.socket is not None:
            self.lost(self.failure)

    def lost(self, why: str) -> None:
        """Give the connection up because of `why`."""
        if self.failure is None:
            self.wants_older = self.accepted is None
            self.failure = why
        self._client._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)

    def close(self) -> None:
        """Say goodbye; the broker keeps the session."""
        self._client.disconnect()
        self.failure = self.failure or "closed"

    def _on_connect(
        self, _client: Any, _data: Any, flags: Any, reason: Any, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self.failure = f"the broker refused: {reason}"
            self.wants_older = reason.value == UNSUPPORTED_VERSION
        elif self.accepted is not None:  # it would make us believe in a new session
            self.failure = "not MQTT: a second CONNACK"
        else:
            self.accepted = bool(flags.session_present)
            self._accepted(self.accepted)

    def _on_subscribe(
        self, _client: Any, _data: Any, _mid: int, reasons: list[Any], _properties: Any
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self.failure = f"the broker refused the subscription: {reasons[0]}"
        else:
            self.subscribed = True

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self.failure is None:
            # A broker that does not know MQTT 5 may hang up instead of saying so.
            self.wants_older = self.accepted is None
            self.failure = f"connection lost: {reason}"
