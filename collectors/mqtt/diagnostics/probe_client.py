"""A visit to the broker by paho's own means, under a name that is nobody's: for `checkup`."""

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

ANSWER_WITHIN = 5.0  # seconds that the broker gets for anything it is asked
WINDOW = 65_535  # what MQTT 5 lets a broker send ahead of our acknowledgements
EXPIRY = 60  # seconds after which the broker forgets a session that we could not remove


class Refused(Exception):
    """The broker does not let us in; `older` when MQTT 3.1.1 is worth a try."""

    def __init__(self, reason: str, older: bool) -> None:
        super().__init__(reason)
        self.older = older


class Visitor:
    """One connection, from CONNECT to `leave`. Nothing is acknowledged unless it is asked for.

    Raises OSError when the broker cannot be reached or trusted, Refused when it says no.
    """

    def __init__(self, broker: Endpoint, name: str, v5: bool, clean: bool = False) -> None:
        self.v5 = v5
        self.kept = False
        self.granted: dict[str, Any] = {}
        self.messages: deque[paho.MQTTMessage] = deque()
        self._answers: dict[int, bool] = {}
        self._refusal: tuple[str, int] | None = None
        self._lost: str | None = None
        self._accepted = False
        self._client = self._make(broker, name, clean)
        options: dict[str, Any] = {"clean_start": clean, "properties": _wishes(clean)} if v5 else {}
        self._client.connect(broker.host, broker.port, keepalive=30, **options)
        self.wait(lambda: self._accepted or self._refusal is not None or self._lost is not None)
        self._require_welcome()

    def _make(self, broker: Endpoint, name: str, clean: bool) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=name,
            clean_session=None if self.v5 else clean,
            protocol=MQTTProtocolVersion.MQTTv5 if self.v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = ANSWER_WITHIN
        client.max_inflight_messages_set(1000)
        client.username_pw_set(broker.username, broker.password)
        if broker.tls:
            client.tls_set_context(broker.tls)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message, client.on_subscribe = self._on_message, self._on_subscribe
        return client

    def _require_welcome(self) -> None:
        if self._refusal is not None:
            reason, value = self._refusal
            raise Refused(reason, older=value == 132)  # unsupported protocol version
        if not self._accepted:
            raise Refused(self._lost or "it does not answer", older=self.v5 and self._lost is not None)

    def wait(self, done: Callable[[], bool], seconds: float = ANSWER_WITHIN) -> bool:
        """Serve the connection until `done`, it is lost, or the time is over; returns whether done."""
        until = time.monotonic() + seconds
        while not done() and self._lost is None and time.monotonic() < until:
            self._client.loop(0.02)
        return done()

    def subscribe(self, topic_filter: str, qos: int) -> bool:
        """Whether the broker granted it."""
        number = self._client.subscribe(topic_filter, qos)[1]
        self.wait(lambda: number in self._answers)
        return number is not None and self._answers.get(number, False)

    def publish(self, topic: str, count: int) -> bool:
        """`count` empty messages at QoS 1; whether the broker accepted them all."""
        sent = [self._client.publish(topic, b"", qos=1) for _ in range(count)]
        return self.wait(lambda: all(info.is_published() for info in sent))

    def unsubscribe(self, topic_filter: str) -> None:
        self._client.unsubscribe(topic_filter)

    def acknowledge(self) -> int:
        """Everything that came; forgets it, and returns how much it was."""
        count = len(self.messages)
        for _ in range(count):
            message = self.messages.popleft()
            self._client.ack(message.mid, message.qos)
        return count

    def leave(self) -> None:
        self._client.disconnect()
        with contextlib.suppress(OSError):
            self.wait(lambda: not self._client.want_write(), 1)

    def _on_connect(self, _c: Any, _d: Any, flags: Any, reason: Any, properties: Properties | None) -> None:
        if reason.is_failure:
            self._refusal = (str(reason), reason.value)
            return
        self._accepted, self.kept = True, bool(flags.session_present)
        self.granted = properties.json() if properties else {}  # type: ignore[no-untyped-call]

    def _on_disconnect(self, _c: Any, _d: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._lost = self._lost or f"it hung up: {reason}"

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self.messages.append(message)

    def _on_subscribe(self, _c: Any, _d: Any, number: int, reasons: list[Any], _properties: Any) -> None:
        self._answers[number] = not any(reason.is_failure for reason in reasons)


def _wishes(clean: bool) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 0 if clean else EXPIRY
    properties.ReceiveMaximum = WINDOW
    return properties
