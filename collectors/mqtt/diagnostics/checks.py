"""Check from outside, for `fleetmeter doctor`, whether the counter can rely on a broker.

It logs in as the counter does, but under client ids of its own, so the counter's session is not touched.
"""

import secrets
import ssl
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple

from collectors.mqtt import endpoint
from collectors.mqtt.diagnostics import session_probe
from collectors.mqtt.diagnostics.probe_client import ConnectionRefused, ProbeClient
from collectors.mqtt.endpoint import Endpoint
from metering.catalogue import brokers
from metering.config.settings import Settings

TRAFFIC_TIMEOUT = 2.0  # seconds
SMALL_WINDOW = 1_000  # messages in flight below which a counter has to commit more often
RETAINED_TIMEOUT = 0.5  # seconds; retained messages come at once
VERSION, DROPPED = "$SYS/broker/version", "$SYS/broker/publish/messages/dropped"
EMQX_VERSIONS = "$SYS/brokers/+/version"
HINT = "deploy/mosquitto.conf has what a counter needs"


class CheckResult(NamedTuple):
    """One check: its name, whether it passed, what the broker does, and the advice if any."""

    checked: str
    ok: bool
    message: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[CheckResult]:
    """Run every check of the broker of MQTT_URL, which must be set; takes a few seconds."""
    try:
        broker = endpoint.from_settings(settings)
    except OSError as error:
        advice = "MQTT_CA_FILE, MQTT_CERT_FILE and MQTT_KEY_FILE name files that this user may read"
        yield CheckResult("broker", False, f"a certificate cannot be read ({error})", advice)
        return
    client_id = f"{broker.client_id}-doctor-{secrets.token_hex(4)}"
    try:
        client = _connect(broker, client_id)
    except (OSError, ConnectionRefused) as error:
        yield _refused(broker, error)
        return
    if client.session_present:  # another client owns it: leave it alone
        message = f"{broker.name} gave a new client id the session of another client"
        yield CheckResult(
            "broker", False, message, "give each client id its own (no use_username_as_clientid)"
        )
        return
    yield _login(client, broker)
    yield from _limits(client, settings)
    yield from _topics(client, settings)
    client.disconnect()
    session_probe.remove_session(broker, client_id, client.v5)
    yield from _session(broker, client.v5)


def _connect(broker: Endpoint, client_id: str) -> ProbeClient:
    try:
        return ProbeClient(broker, client_id, v5=True)
    except ConnectionRefused as refused:
        if not refused.retry_with_v311:
            raise
    return ProbeClient(broker, client_id, v5=False)


def _refused(broker: Endpoint, error: Exception) -> CheckResult:
    if isinstance(error, ConnectionRefused):
        message = f"{broker.name} does not let us in: {error}"
        advice = "correct user and password in MQTT_URL, mqtts:// where it speaks TLS, or the certificate; "
        advice += f"a policy must allow client ids that begin with {broker.client_id}"
    elif isinstance(error, ssl.SSLError):
        message = f"{broker.name} speaks no TLS that we trust ({error})"
        advice = "MQTT_CA_FILE names who signed its certificate; MQTT_URL its host as it stands there"
    else:
        message = f"{broker.name} cannot be reached ({error})"
        advice = "start the broker, or correct MQTT_URL; messages of QoS 1 wait in their senders"
    return CheckResult("broker", False, message, advice)


def _login(client: ProbeClient, broker: Endpoint) -> CheckResult:
    login = f"as {broker.username}" if broker.username else "without a user name"
    version = "MQTT 5" if client.v5 else "MQTT 3.1.1"
    secured = "over TLS" if broker.tls else "not encrypted"
    exposed = not broker.tls and not _is_local(broker.host)
    advice = "everybody on the way can read along, passwords too: use mqtts://" if exposed else ""
    return CheckResult("broker", True, f"{broker.name} lets us in {login}, {version}, {secured}", advice)


def _is_local(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _limits(client: ProbeClient, settings: Settings) -> Iterator[CheckResult]:
    """Check the limits that MQTT 5 brokers announce; older ones announce none."""
    limits = client.limits
    if limits.get("MaximumQoS", 1) < 1:
        yield CheckResult(
            "quality", False, "it knows QoS 0 only", "every fault loses messages: take another broker"
        )
    if not limits.get("WildcardSubscriptionAvailable", 1):
        advice = f"the counter subscribes to {settings.mqtt_topic_root}/#: allow it"
        yield CheckResult("wildcards", False, "it allows no wildcards in subscriptions", advice)
    if settings.mqtt_shared_group and not limits.get("SharedSubscriptionAvailable", 1):
        advice = "unset MQTT_SHARED_GROUP and run one counter"
        yield CheckResult("shared group", False, "it shares no subscriptions", advice)
    if "MaximumPacketSize" in limits:
        yield CheckResult(
            "packet size", True, f"it takes packets of up to {limits['MaximumPacketSize']:,} bytes"
        )


def _topics(client: ProbeClient, settings: Settings) -> Iterator[CheckResult]:
    """Check whether the topic root may be read: some brokers refuse, mosquitto lets nothing through."""
    root = f"{settings.mqtt_topic_root}/#"
    if not client.subscribe(root, 0):
        yield CheckResult(
            "topic root", False, f"it refuses {root}", "allow this user to subscribe to it and read it"
        )
    elif client.wait(lambda: bool(client.messages), TRAFFIC_TIMEOUT):
        yield CheckResult("topic root", True, f"messages under {root} arrive")
    else:
        advice = (
            "none was sent, or this user may not read it (mosquitto says so to nobody): try mosquitto_pub "
        )
        advice += "and mosquitto_sub as this user"
        yield CheckResult("topic root", True, f"no message under {root} in {TRAFFIC_TIMEOUT:.0f} s", advice)
    client.unsubscribe(root)
    yield from _sys_topics(client)


def _sys_topics(client: ProbeClient) -> Iterator[CheckResult]:
    """Report what mosquitto or EMQX says of itself, if this user may read it."""
    for topic in (VERSION, DROPPED, EMQX_VERSIONS):
        client.subscribe(topic, 0)
    client.wait(lambda: any(m.topic == DROPPED for m in client.messages), RETAINED_TIMEOUT)
    values = {m.topic: m.payload.decode(errors="replace") for m in client.messages}
    if VERSION in values:
        yield CheckResult("broker's version", True, values[VERSION])
    emqx = [value for topic, value in values.items() if topic.startswith("$SYS/brokers/")]
    if emqx:
        yield CheckResult("broker's version", True, f"EMQX {emqx[0]}: {brokers.EMQX}")
    if values.get(DROPPED, "0") != "0":
        advice = f"if this grows while the counter is away, its queue is too short: {HINT}"
        yield CheckResult(
            "dropped", True, f"{values[DROPPED]} messages since it started, of all clients", advice
        )


def _session(broker: Endpoint, v5: bool) -> Iterator[CheckResult]:
    try:
        probe = session_probe.run(broker, f"{broker.client_id}-doctor-{secrets.token_hex(4)}", v5)
    except (OSError, ConnectionRefused) as error:
        yield CheckResult("session", False, f"could not be tried: {error}", "read the broker's log")
        return
    if not probe.session_present:
        advice = "each restart of the counter loses messages: allow persistent sessions"
        yield CheckResult("session", False, "it forgets a client that goes away", advice)
        return
    yield CheckResult("session", True, "it keeps the session of a client that goes away")
    yield from _queue(probe)
    if probe.readable and probe.delivered:
        yield _resends(probe, broker)


def _resends(probe: session_probe.ProbeResult, broker: Endpoint) -> CheckResult:
    if broker.approximate:
        return CheckResult("redelivery", True, brokers.APPROXIMATE)
    if probe.resends:
        message = "unacknowledged messages come again with their packet ids, in order, marked DUP"
        return CheckResult("redelivery", True, message)
    message = "unacknowledged messages come again without DUP, under other packet ids, or in another order"
    advice = "a lost connection makes the counter count some messages twice: see docs/brokers.md"
    return CheckResult("redelivery", False, message, advice)


def _queue(probe: session_probe.ProbeResult) -> Iterator[CheckResult]:
    if not probe.readable:
        advice = "allow this user to read and write fleetmeter-doctor/# to have it tried"
        yield CheckResult("queue", True, "not tried: its access list forbids the messages it takes", advice)
        return
    message = f"of {probe.published:,} messages for a client that was away it kept {probe.delivered:,}"
    if probe.delivered < probe.published:
        advice = f"the others are lost though it accepted them; mosquitto: max_queued_messages, {HINT}"
        yield CheckResult("queue", False, message, advice)
    else:
        yield CheckResult("queue", True, message)
    small_window = probe.window < min(SMALL_WINDOW, probe.delivered)
    advice = f"more make the counter faster; mosquitto: max_inflight_messages, {HINT}" if small_window else ""
    more = " or more" if probe.window == probe.delivered else ""
    yield CheckResult(
        "window", True, f"it sends {probe.window:,}{more} ahead of their acknowledgement", advice
    )
