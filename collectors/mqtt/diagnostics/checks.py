"""What can be learned of a broker from outside, for `fleetmeter doctor`: may the counter rely on it?

It logs in as the counter does, but under client ids of its own: the counter's session is not touched.
"""

import secrets
import ssl
from collections.abc import Iterator
from typing import NamedTuple

from collectors.mqtt import endpoint
from collectors.mqtt.diagnostics import session_probe
from collectors.mqtt.diagnostics.probe_client import Refused, Visitor
from collectors.mqtt.endpoint import Endpoint
from metering.config.settings import Settings

TRAFFIC_WITHIN = 2.0  # seconds
SMALL_WINDOW = 1_000  # messages in flight below which a counter has to commit more often
TOLD_WITHIN = 0.5  # seconds: what a broker keeps to say, it says at once
VERSION, DROPPED = "$SYS/broker/version", "$SYS/broker/publish/messages/dropped"
EXAMPLE = "deploy/mosquitto.conf has what a counter needs"


class Answer(NamedTuple):
    """One check: what was looked at, whether it is all right, what was found, what to do."""

    checked: str
    ok: bool
    found: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Answer]:
    """Every check of the broker of MQTT_URL, which must be set; takes a few seconds."""
    try:
        broker = endpoint.of(settings)
    except OSError as error:
        advice = "MQTT_CA_FILE, MQTT_CERT_FILE and MQTT_KEY_FILE name files that this user may read"
        yield Answer("broker", False, f"a certificate cannot be read ({error})", advice)
        return
    name = f"{broker.client_id}-doctor-{secrets.token_hex(4)}"
    try:
        visitor = _visit(broker, name)
    except (OSError, Refused) as error:
        yield _shut_out(broker, error)
        return
    if visitor.kept:  # leave it alone: it is somebody's
        found = f"{broker.name} gave a new client id the session of another client"
        yield Answer("broker", False, found, "give each client id its own (no use_username_as_clientid)")
        return
    yield _welcome(visitor, broker)
    yield from _limits(visitor, settings)
    yield from _topics(visitor, settings)
    visitor.leave()
    session_probe.forget(broker, name, visitor.v5)
    yield from _session(broker, visitor.v5)


def _visit(broker: Endpoint, name: str) -> Visitor:
    try:
        return Visitor(broker, name, v5=True)
    except Refused as refused:
        if not refused.older:
            raise
    return Visitor(broker, name, v5=False)


def _shut_out(broker: Endpoint, error: Exception) -> Answer:
    if isinstance(error, Refused):
        found = f"{broker.name} does not let us in: {error}"
        advice = "correct user and password in MQTT_URL, mqtts:// where it speaks TLS, or the certificate; "
        advice += f"a policy must allow client ids that begin with {broker.client_id}"
    elif isinstance(error, ssl.SSLError):
        found = f"{broker.name} speaks no TLS that we trust ({error})"
        advice = "MQTT_CA_FILE names who signed its certificate; MQTT_URL its host as it stands there"
    else:
        found = f"{broker.name} cannot be reached ({error})"
        advice = "start the broker, or correct MQTT_URL; messages of QoS 1 wait in their senders"
    return Answer("broker", False, found, advice)


def _welcome(visitor: Visitor, broker: Endpoint) -> Answer:
    login = f"as {broker.username}" if broker.username else "without a user name"
    version = "MQTT 5" if visitor.v5 else "MQTT 3.1.1"
    secured = "over TLS" if broker.tls else "not encrypted"
    return Answer("broker", True, f"{broker.name} lets us in {login}, {version}, {secured}")


def _limits(visitor: Visitor, settings: Settings) -> Iterator[Answer]:
    """What MQTT 5 brokers say of themselves; an older one says nothing."""
    granted = visitor.granted
    if granted.get("MaximumQoS", 1) < 1:
        yield Answer(
            "quality", False, "it knows QoS 0 only", "every fault loses messages: take another broker"
        )
    if not granted.get("WildcardSubscriptionAvailable", 1):
        advice = f"the counter subscribes to {settings.mqtt_topic_root}/#: allow it"
        yield Answer("wildcards", False, "it allows no wildcards in subscriptions", advice)
    if settings.mqtt_shared_group and not granted.get("SharedSubscriptionAvailable", 1):
        advice = "unset MQTT_SHARED_GROUP and run one counter"
        yield Answer("shared group", False, "it shares no subscriptions", advice)
    if "MaximumPacketSize" in granted:
        yield Answer("packet size", True, f"it takes packets of up to {granted['MaximumPacketSize']:,} bytes")


def _topics(visitor: Visitor, settings: Settings) -> Iterator[Answer]:
    """Whether the topic root may be read: some brokers refuse, mosquitto lets nothing through."""
    root = f"{settings.mqtt_topic_root}/#"
    if not visitor.subscribe(root, 0):
        yield Answer(
            "topic root", False, f"it refuses {root}", "allow this user to subscribe to it and read it"
        )
    elif visitor.wait(lambda: bool(visitor.messages), TRAFFIC_WITHIN):
        yield Answer("topic root", True, f"messages under {root} arrive")
    else:
        advice = (
            "none was sent, or this user may not read it (mosquitto says so to nobody): try mosquitto_pub "
        )
        advice += "and mosquitto_sub as this user"
        yield Answer("topic root", True, f"no message under {root} in {TRAFFIC_WITHIN:.0f} s", advice)
    visitor.unsubscribe(root)
    yield from _own_words(visitor)


def _own_words(visitor: Visitor) -> Iterator[Answer]:
    """What mosquitto says of itself to those who may read it."""
    for topic in (VERSION, DROPPED):
        visitor.subscribe(topic, 0)
    visitor.wait(lambda: any(m.topic == DROPPED for m in visitor.messages), TOLD_WITHIN)
    said = {m.topic: m.payload.decode(errors="replace") for m in visitor.messages}
    if VERSION in said:
        yield Answer("broker's version", True, said[VERSION])
    if said.get(DROPPED, "0") != "0":
        advice = f"if this grows while the counter is away, its queue is too short: {EXAMPLE}"
        yield Answer("dropped", True, f"{said[DROPPED]} messages since it started, of all clients", advice)


def _session(broker: Endpoint, v5: bool) -> Iterator[Answer]:
    try:
        tried = session_probe.run(broker, f"{broker.client_id}-doctor-{secrets.token_hex(4)}", v5)
    except (OSError, Refused) as error:
        yield Answer("session", False, f"could not be tried: {error}", "read the broker's log")
        return
    if not tried.kept:
        advice = "each restart of the counter loses messages: allow persistent sessions"
        yield Answer("session", False, "it forgets a client that goes away", advice)
        return
    yield Answer("session", True, "it keeps the session of a client that goes away")
    yield from _queue(tried)


def _queue(tried: session_probe.ProbeResult) -> Iterator[Answer]:
    if not tried.readable:
        advice = "allow this user to read and write fleetmeter-doctor/# to have it tried"
        yield Answer("queue", True, "not tried: its access list forbids the messages it takes", advice)
        return
    found = f"of {session_probe.TRIED:,} messages for a client that was away it kept {tried.came:,}"
    if tried.came < session_probe.TRIED:
        advice = f"the others are lost though it accepted them; mosquitto: max_queued_messages, {EXAMPLE}"
        yield Answer("queue", False, found, advice)
    else:
        yield Answer("queue", True, found)
    narrow = tried.window < min(SMALL_WINDOW, tried.came)
    advice = f"more make the counter faster; mosquitto: max_inflight_messages, {EXAMPLE}" if narrow else ""
    more = " or more" if tried.window == tried.came else ""
    yield Answer("window", True, f"it sends {tried.window:,}{more} ahead of their acknowledgement", advice)
