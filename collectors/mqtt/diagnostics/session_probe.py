"""Try a session: leave it behind, fill it by another client, take it up again, remove it.

Up to MESSAGES empty messages go through the broker under `fleetmeter-doctor/`, outside the topic root, so
nothing is counted. MQTT has no other way to learn whether a broker drops what it has accepted.
"""

import contextlib
import secrets
from typing import NamedTuple

from collectors.mqtt.diagnostics.probe_client import ConnectionRefused, ProbeClient
from collectors.mqtt.endpoint import Endpoint

MESSAGES = 1_200  # mosquitto drops all but the first 1000 unless told otherwise
SILENCE = 0.5  # seconds without a message that mean there is no more


class ProbeResult(NamedTuple):
    """What became of the session, and of the messages sent while its client was away.

    `session_present`: the broker kept the session. `readable`: its access list lets our topics pass.
    `window`: messages it sends ahead of their acknowledgement; `delivered`: messages it had kept.
    """

    session_present: bool
    readable: bool
    window: int = 0
    delivered: int = 0


def run(broker: Endpoint, client_id: str, v5: bool) -> ProbeResult:
    """Try it, under client ids that begin with `client_id`. Raises OSError, ConnectionRefused."""
    topic = f"fleetmeter-doctor/{secrets.token_hex(4)}"
    try:
        readable = _start_session(broker, client_id, v5, topic)
        if readable:
            _fill_queue(broker, f"{client_id}-publisher", v5, topic)
        return _resume_session(broker, client_id, v5, readable)
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


def _fill_queue(broker: Endpoint, client_id: str, v5: bool, topic: str) -> None:
    client = ProbeClient(broker, client_id, v5, clean=True)
    accepted = client.publish(f"{topic}/queued", MESSAGES)
    client.disconnect()
    if not accepted:
        raise ConnectionRefused(f"it does not accept {MESSAGES:,} messages in time", retry_with_v311=False)


def _resume_session(broker: Endpoint, client_id: str, v5: bool, readable: bool) -> ProbeResult:
    client = ProbeClient(broker, client_id, v5)
    try:
        if not (client.session_present and readable):
            return ProbeResult(client.session_present, readable)
        window = _receive_window(client)
        delivered = client.acknowledge()
        while delivered < MESSAGES and client.wait(lambda: bool(client.messages), SILENCE):
            delivered += client.acknowledge()
        return ProbeResult(True, readable, window, delivered)
    finally:
        client.disconnect()


def _receive_window(client: ProbeClient) -> int:
    """Receive until there is silence, or everything has come; returns the number of messages."""
    while (count := len(client.messages)) < MESSAGES:
        if not client.wait(lambda count=count: len(client.messages) > count, SILENCE):  # type: ignore[misc]
            break
    return len(client.messages)
