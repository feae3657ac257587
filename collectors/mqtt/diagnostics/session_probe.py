"""Try a session: leave it behind, fill it by another client, take it up twice, remove it.

Up to MESSAGES empty messages go through the broker under `fleetmeter-doctor/`, outside the topic root, so
nothing is counted. MQTT has no other way to learn whether a broker drops what it has accepted.
"""

import contextlib
import secrets
from typing import NamedTuple

from collectors.mqtt.diagnostics.probe_client import ConnectionRefused, ProbeClient
from collectors.mqtt.endpoint import Endpoint

MESSAGES = 1_200  # mosquitto drops all but the first 1000 unless told otherwise
FEW_MESSAGES = 50  # AWS IoT Core discards messages beyond 100 a second on a connection
SILENCE = 0.5  # seconds without a message that mean there is no more


class ProbeResult(NamedTuple):
    """The state of the session and its messages after its client was away.

    `session_present`: the broker kept the session. `readable`: its access list lets our topics pass.
    `published`: messages sent to it while the client was away; `delivered`: how many of them it had kept.
    `window`: messages it sends ahead of their acknowledgement.
    `resends`: what was not acknowledged came again after a reconnect with the same packet ids, in the same
    order, marked DUP. The exactly-once protocol rests on that.
    """

    session_present: bool
    readable: bool
    published: int = 0
    window: int = 0
    delivered: int = 0
    resends: bool = False


def run(broker: Endpoint, client_id: str, v5: bool) -> ProbeResult:
    """Try it, under client ids that begin with `client_id`. Raises OSError, ConnectionRefused."""
    topic = f"fleetmeter-doctor/{secrets.token_hex(4)}"
    messages = FEW_MESSAGES if broker.approximate else MESSAGES
    try:
        readable = _start_session(broker, client_id, v5, topic)
        if not readable:
            return _resume_empty_session(broker, client_id, v5)
        _fill_queue(broker, f"{client_id}-publisher", v5, topic, messages)
        return _resume_session(broker, client_id, v5, messages)
    finally:
        remove_session(broker, client_id, v5)


def remove_session(broker: Endpoint, client_id: str, v5: bool) -> None:
    """Have the broker remove a session of ours; those of MQTT 5 also expire after a minute."""
    with contextlib.suppress(OSError, ConnectionRefused):
        ProbeClient(broker, client_id, v5, clean=True).disconnect()


def _start_session(broker: Endpoint, client_id: str, v5: bool, topic: str) -> bool:
    client = ProbeClient(broker, client_id, v5)
    readable = client.subscribe(f"{topic}/#", 1)
    if readable:
        client.publish(f"{topic}/first", 1)
        readable = client.wait(lambda: bool(client.messages), SILENCE)
    client.acknowledge()
    client.disconnect()
    return readable


def _fill_queue(broker: Endpoint, client_id: str, v5: bool, topic: str, messages: int) -> None:
    client = ProbeClient(broker, client_id, v5, clean=True)
    accepted = client.publish(f"{topic}/queued", messages)
    client.disconnect()
    if not accepted:
        raise ConnectionRefused(f"it does not accept {messages:,} messages in time", retry_with_v311=False)


def _resume_empty_session(broker: Endpoint, client_id: str, v5: bool) -> ProbeResult:
    client = ProbeClient(broker, client_id, v5)
    client.disconnect()
    return ProbeResult(client.session_present, readable=False)


def _resume_session(broker: Endpoint, client_id: str, v5: bool, published: int) -> ProbeResult:
    """Receive the window without acknowledging, then connect again and receive all messages."""
    client = ProbeClient(broker, client_id, v5)
    first = _receive_window(client, published)
    client.disconnect()
    if not client.session_present:
        return ProbeResult(False, readable=True)
    client = ProbeClient(broker, client_id, v5)
    try:
        again = _receive_window(client, published)
        delivered = client.acknowledge()
        while delivered < published and client.wait(lambda: bool(client.messages), SILENCE):
            delivered += client.acknowledge()
    finally:
        client.disconnect()
    resends = [(packet_id, True) for packet_id, _ in first] == again[: len(first)]
    return ProbeResult(True, True, published, len(again), delivered, resends)


def _receive_window(client: ProbeClient, published: int) -> list[tuple[int, bool]]:
    """Receive until all messages came, or none comes; return packet ids and DUP flags."""
    while (count := len(client.messages)) < published:
        if not client.wait(lambda count=count: len(client.messages) > count, SILENCE):  # type: ignore[misc]
            break
    return [(message.mid, message.dup) for message in client.messages]
