"""The drill's publisher: it counts what it publishes, and the broker must accept each message."""

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from collectors.mqtt.endpoint import Endpoint
from metering.errors import FleetmeterError

MAX_UNCONFIRMED = 5_000


class Publisher:
    """A client that publishes; `published`: how many messages so far."""

    def __init__(self, broker: Endpoint, client_id: str) -> None:
        self.published = 0
        self._unconfirmed: list[paho.MQTTMessageInfo] = []
        self._client = _connect(broker, client_id)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Publish a message."""
        self._unconfirmed.append(self._client.publish(topic, payload, qos=qos))
        self.published += 1

    def limit_unconfirmed(self) -> None:
        """Wait for the broker if too many messages are not accepted yet. Raises FleetmeterError."""
        if len(self._unconfirmed) > MAX_UNCONFIRMED:
            self.await_acceptance()

    def await_acceptance(self) -> None:
        """Wait until the broker has accepted every message. Raises FleetmeterError."""
        for info in self._unconfirmed:
            info.wait_for_publish(30)
            if not info.is_published():
                raise FleetmeterError("the broker stopped accepting messages; the drill proves nothing")
        self._unconfirmed.clear()

    def close(self) -> None:
        """Stop publishing."""
        self._client.loop_stop()


def forget_session(broker: Endpoint, client_id: str) -> None:
    """Have the broker forget the session of `client_id`. Raises OSError."""
    client = _connect(broker, client_id)
    client.loop_start()
    client.disconnect()
    client.loop_stop()


def _connect(broker: Endpoint, client_id: str) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True)
    client.max_inflight_messages_set(1000)
    client.username_pw_set(broker.username, broker.password)
    if broker.tls:
        client.tls_set_context(broker.tls)
    client.connect(broker.host, broker.port)
    return client
