"""A session tried out: left behind, filled by another client, taken up again, removed.

Up to TRIED empty messages go through the broker under `fleetmeter-doctor/`, outside the topic root:
nothing is counted. MQTT has no other way to learn whether a broker drops what it has accepted.
"""

import contextlib
import secrets
from typing import NamedTuple

from collectors.mqtt.diagnostics.probe_client import Refused, Visitor
from collectors.mqtt.endpoint import Endpoint

TRIED = 1_200  # messages: mosquitto drops all but the first 1000 unless told otherwise
SILENCE = 0.5  # seconds without a message that mean there is no more


class ProbeResult(NamedTuple):
    """What became of the session, and of TRIED messages that were sent while its client was away.

    `readable`: our topics pass the broker's access list. `window`: how many messages it sends ahead of
    their acknowledgement; `came`: how many it had kept.
    """

    kept: bool
    readable: bool
    window: int = 0
    came: int = 0


def run(broker: Endpoint, name: str, v5: bool) -> ProbeResult:
    """Try it, under client ids that begin with `name`. Raises OSError, Refused."""
    topic = f"fleetmeter-doctor/{secrets.token_hex(4)}"
    try:
        readable = _leave_behind(broker, name, v5, topic)
        if readable:
            _fill(broker, f"{name}-publisher", v5, topic)
        return _take_up(broker, name, v5, readable)
    finally:
        forget(broker, name, v5)


def forget(broker: Endpoint, name: str, v5: bool) -> None:
    """Have the broker remove a session of ours; one of MQTT 5 it removes by itself after a minute."""
    with contextlib.suppress(OSError, Refused):
        Visitor(broker, name, v5, clean=True).leave()


def _leave_behind(broker: Endpoint, name: str, v5: bool, topic: str) -> bool:
    visitor = Visitor(broker, name, v5)
    readable = visitor.subscribe(f"{topic}/#", 1)
    if readable:
        visitor.publish(f"{topic}/first", 1)
        readable = visitor.wait(lambda: bool(visitor.messages), SILENCE)
    visitor.acknowledge()
    visitor.leave()
    return readable


def _fill(broker: Endpoint, name: str, v5: bool, topic: str) -> None:
    visitor = Visitor(broker, name, v5, clean=True)
    accepted = visitor.publish(f"{topic}/queued", TRIED)
    visitor.leave()
    if not accepted:
        raise Refused(f"it does not accept {TRIED:,} messages in time", older=False)


def _take_up(broker: Endpoint, name: str, v5: bool, readable: bool) -> ProbeResult:
    visitor = Visitor(broker, name, v5)
    try:
        if not (visitor.kept and readable):
            return ProbeResult(visitor.kept, readable)
        window = _arrived(visitor)
        came = visitor.acknowledge()
        while came < TRIED and visitor.wait(lambda: bool(visitor.messages), SILENCE):
            came += visitor.acknowledge()
        return ProbeResult(True, readable, window, came)
    finally:
        visitor.leave()


def _arrived(visitor: Visitor) -> int:
    """How many messages come until there is silence, or all have come."""
    while (seen := len(visitor.messages)) < TRIED:
        if not visitor.wait(lambda seen=seen: len(visitor.messages) > seen, SILENCE):  # type: ignore[misc]
            break
    return len(visitor.messages)
