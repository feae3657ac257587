"""Connect once under the counter's client id, to learn whether the broker lets us in.

A daemon claims its session only after that. One that cannot connect, because of a wrong password or address,
then takes nothing away from a healthy daemon; and whatever the claiming daemon reads later comes by a
connection that began after its claim, as the protocol in `session` demands. Nothing is read from this first
connection but the broker's answer; messages sent to it are sent again.
"""

import select
import threading
import time
from typing import Any, NamedTuple

from collectors.mqtt.connection import BrokerConnection
from collectors.mqtt.endpoint import Endpoint

CONNECT_TIMEOUT = 10.0  # seconds that the broker gets to answer CONNECT


class Admission(NamedTuple):
    """The broker's answer: whether it had kept the session, None with the reason if it refused."""

    session_present: bool | None
    v5: bool
    reason: str | None = None


def ask(broker: Endpoint, stop: threading.Event) -> Admission:
    """Connect and disconnect, with MQTT 5 or else 3.1.1; gives up when `stop` is set."""
    answer = _connect_once(broker, stop, v5=True)
    is_final = answer.session_present is not None or answer.v5
    return answer if is_final else _connect_once(broker, stop, v5=False)


def _connect_once(broker: Endpoint, stop: threading.Event, v5: bool) -> Admission:
    connection = BrokerConnection(broker, v5, lambda _present: None, lambda _count: None, receive_maximum=1)
    until = time.monotonic() + CONNECT_TIMEOUT
    while connection.alive and connection.session_present is None and not stop.is_set():
        if time.monotonic() > until:
            connection.fail("the broker does not answer")
        elif connection.socket and _readable(connection):
            connection.read_with_paho(lambda _message: None)
    retry = connection.session_present is None and connection.retry_with_v311
    reason = connection.failure
    connection.close()
    return Admission(connection.session_present, v5 and not retry, reason)


def _readable(connection: BrokerConnection) -> bool:
    if connection.has_output:
        connection.send_output()
    readable: list[Any] = [connection.socket]
    return bool(select.select(readable, [], [], 0.1)[0])
