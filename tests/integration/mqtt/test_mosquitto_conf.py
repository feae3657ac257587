"""deploy/mosquitto.conf as it is, moved to other paths and ports: who gets in, and what is kept."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from paho.mqtt.enums import CallbackAPIVersion

from fleetmeter import broker_acl
from fleetmeter.embedded import brokers, ports
from metering.catalogue.platform import Device
from tests.support import programs
from tests.support.ports import is_open
from tests.support.until import until

DEPLOY = Path(__file__).parents[3] / "deploy"
PATIENCE = 30.0
pytestmark = pytest.mark.mosquitto


OUTBOUND = ("commands", "cmd", "config", "ota")
DEVICES = [Device(4711, "arm", 2, 1), Device(4712, "arm", 21, 2)]
CERTIFICATES = ("4711", "4712", "platform", "fleetmeter", "4713")


@dataclass
class Site:
    folder: Path
    plain: int
    tls: int
    services: int
    process: subprocess.Popen[bytes] | None = None
    restart: Callable[[], None] = lambda: None


def authority(folder: Path) -> tuple[x509.Name, ec.EllipticCurvePrivateKey]:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fleet")])
    key = ec.generate_private_key(ec.SECP256R1())
    issue(folder / "fleet-ca", name, key, name, key, authority=True)
    return name, key


def issue(
    path: Path,
    name: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    authority: bool = False,
) -> None:
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    path.with_suffix(".crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    path.with_suffix(".key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    kind = brokers.mosquitto(tmp_path)
    if kind is None or shutil.which("mosquitto_passwd") is None:
        programs.missing("mosquitto")
    issuer, issuer_key = authority(tmp_path)
    for name in ("server", *CERTIFICATES):
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issue(tmp_path / name, subject, ec.generate_private_key(ec.SECP256R1()), issuer, issuer_key)
    shutil.copy(DEPLOY / "mosquitto.acl", tmp_path / "acl")
    access = broker_acl.lines(DEVICES, "roboticks", broker_acl.PUBLISHED, OUTBOUND, "id")
    (tmp_path / "devices.acl").write_text("".join(access))
    (tmp_path / "passwords").touch(mode=0o600)
    for user in ("fleetmeter", "platform"):
        command_line = ["mosquitto_passwd", "-b", "passwords", user, "secret"]
        subprocess.run(command_line, check=True, cwd=tmp_path)
    here = Site(tmp_path, *free_ports())
    (tmp_path / "mosquitto.conf").write_text(moved(here))
    kind.account.own(tmp_path, *tmp_path.iterdir())
    command = [kind.command[0], "-c", "mosquitto.conf"]
    here.restart = lambda: start(command, kind, here)
    here.restart()
    yield here
    here.process.terminate()
    here.process.wait()


def start(command: list[str], kind: brokers.Kind, site: Site) -> None:
    """Start mosquitto, after its end where it runs."""
    if site.process:
        site.process.terminate()
        site.process.wait()
    site.process = subprocess.Popen(command, **(kind.account.popen | {"cwd": site.folder}))
    listening(site.tls, site.process)


def free_ports() -> list[int]:
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server((ports.HOST, 0))) for _ in range(3)]
        return [server.getsockname()[1] for server in servers]


def moved(site: Site) -> str:
    text = (DEPLOY / "mosquitto.conf").read_text()
    for folder in ("ca_certificates/", "certs/", ""):
        text = text.replace(f" /etc/mosquitto/{folder}", " ")
    text = text.replace("listener 1883", f"listener {site.plain}")
    text = text.replace("listener 8883", f"listener {site.tls} 127.0.0.1")
    text = text.replace("listener 8884", f"listener {site.services} 127.0.0.1")
    return text.replace("persistence_location /var/lib/mosquitto/\n", "")


def listening(port: int, process: subprocess.Popen[bytes]) -> None:
    until(lambda: is_open(port) or process.poll() is not None, pause=0.01)
    assert process.poll() is None, "mosquitto refuses deploy/mosquitto.conf"


class Client:
    def __init__(
        self, name: str, port: int, user: str = "", password: str = "", tls: str = "", keep: bool = False
    ) -> None:
        self.answer: str | None = None
        self.topics: list[str] = []
        self.connected, self.subscribed = threading.Event(), threading.Event()
        self.arrived = threading.Condition()
        self.mqtt = mqtt.Client(
            CallbackAPIVersion.VERSION2, name, reconnect_on_failure=False, clean_session=not keep
        )
        self.mqtt.username_pw_set(user, password) if user else None
        if tls:
            folder, _, device = tls.rpartition("/")
            context = ssl.create_default_context(cafile=f"{folder}/fleet-ca.crt")
            if device:
                context.load_cert_chain(f"{folder}/{device}.crt", f"{folder}/{device}.key")
            self.mqtt.tls_set_context(context)
        self.mqtt.on_connect = lambda _c, _d, _f, reason, _p: self.say(str(reason))
        self.mqtt.on_disconnect = lambda _c, _d, _f, reason, _p: self.say(str(reason))
        self.mqtt.on_subscribe = lambda *_: self.subscribed.set()
        self.mqtt.on_message = lambda _c, _d, message: self.remember(message.topic)
        self.mqtt.connect("localhost", port)
        self.mqtt.loop_start()
        assert self.connected.wait(PATIENCE)

    def say(self, answer: str) -> None:
        self.answer = self.answer or answer
        self.connected.set()

    def remember(self, topic: str) -> None:
        with self.arrived:
            self.topics.append(topic)
            self.arrived.notify_all()

    def subscribe(self, topics: str) -> None:
        self.subscribed.clear()
        self.mqtt.subscribe(topics, qos=1)
        assert self.subscribed.wait(PATIENCE)

    def wait_for(self, topic: str) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: topic in self.topics, PATIENCE), self.topics


def test_nobody_comes_in_without_a_name(site: Site) -> None:
    assert Client("stranger", site.plain).answer == "Not authorized"
    assert Client("stranger", site.plain, "fleetmeter", "guess").answer == "Not authorized"
    assert Client("stranger", site.tls, tls=f"{site.folder}/").answer != "Success"


@pytest.fixture
def watcher(site: Site) -> Iterator["Client"]:
    """Fleetmeter's counter, which sees everything that the broker lets through."""
    counter = Client("counter", site.plain, "fleetmeter", "secret")
    assert counter.answer == "Success"
    counter.subscribe("roboticks/#")
    yield counter
    counter.mqtt.disconnect()


def device(site: Site, name: str, client_id: str | None = None) -> "Client":
    client = Client(client_id or name, site.tls, tls=f"{site.folder}/{name}")
    assert client.answer == "Success"
    return client


def test_a_device_publishes_in_its_own_project_below_its_own_id(site: Site, watcher: "Client") -> None:
    robot = device(site, "4711")
    for topic in (
        "roboticks/2/21/4711/state",  # another organization's project
        "roboticks/1/3/4711/state",
        "roboticks/1/2/4712/state",  # another device
        "roboticks/2/21/4712/state",
        "roboticks/1/2/4711",
        "fleetmeter-doctor/x",
        *(f"roboticks/1/2/4711/{level}/x" for level in OUTBOUND),
        *(f"roboticks/1/2/4711/{level}" for level in OUTBOUND),
    ):
        robot.mqtt.publish(topic, b"no", qos=1)
    robot.mqtt.publish("roboticks/1/2/4711/telemetry/arm/joint", b"yes", qos=1)
    robot.mqtt.publish("roboticks/1/2/4711/state", b"yes", qos=1).wait_for_publish(PATIENCE)
    watcher.wait_for("roboticks/1/2/4711/state")
    assert watcher.topics == ["roboticks/1/2/4711/telemetry/arm/joint", "roboticks/1/2/4711/state"]
    robot.mqtt.disconnect()


def test_a_device_reads_its_own_commands_only(site: Site) -> None:
    robot = device(site, "4711")
    robot.subscribe("roboticks/#")
    robot.subscribe("$SYS/#")
    backend = Client("backend", site.plain, "platform", "secret")
    for topic in (
        "roboticks/2/21/4712/commands/go",
        "roboticks/1/2/4712/commands/go",
        "roboticks/1/2/4711/state",
    ):
        backend.mqtt.publish(topic, b"not for it", qos=1)
    for level in OUTBOUND:
        backend.mqtt.publish(f"roboticks/1/2/4711/{level}/go", b"for it", qos=1).wait_for_publish(PATIENCE)
    robot.wait_for("roboticks/1/2/4711/ota/go")
    assert robot.topics == [f"roboticks/1/2/4711/{level}/go" for level in OUTBOUND]
    robot.mqtt.disconnect()
    backend.mqtt.disconnect()


@pytest.mark.parametrize("name", ["platform", "fleetmeter", "4713"])
def test_a_certificate_gives_no_right_of_a_password_user(site: Site, watcher: "Client", name: str) -> None:
    stranger = device(site, name)
    stranger.subscribe("roboticks/#")
    robot = device(site, "4711")
    stranger.mqtt.publish("roboticks/1/2/4711/commands/go", b"no", qos=1)
    stranger.mqtt.publish("roboticks/1/2/4711/state", b"no", qos=1).wait_for_publish(PATIENCE)
    robot.mqtt.publish("roboticks/1/2/4711/events/one", b"yes", qos=1).wait_for_publish(PATIENCE)
    watcher.wait_for("roboticks/1/2/4711/events/one")
    assert watcher.topics == ["roboticks/1/2/4711/events/one"]
    assert stranger.topics == []
    robot.mqtt.disconnect()


def test_a_device_cannot_take_the_counters_session(site: Site, watcher: "Client") -> None:
    thief = device(site, "4711", client_id="counter")
    robot = device(site, "4712")
    for number in range(500):
        robot.mqtt.publish("roboticks/2/21/4712/data", str(number).encode(), qos=1)
    robot.mqtt.publish("roboticks/2/21/4712/state", b"last", qos=1).wait_for_publish(PATIENCE)
    watcher.wait_for("roboticks/2/21/4712/state")
    assert len(watcher.topics) == 501
    assert thief.topics == []
    thief.mqtt.disconnect()
    robot.mqtt.disconnect()


def test_services_of_other_hosts_need_a_password_over_tls(site: Site) -> None:
    far = Client("far", site.services, "fleetmeter", "secret", tls=f"{site.folder}/")
    assert far.answer == "Success"
    assert Client("x", site.services, "fleetmeter", "guess", tls=f"{site.folder}/").answer == "Not authorized"
    assert Client("y", site.services, tls=f"{site.folder}/4711").answer == "Not authorized"
    far.mqtt.disconnect()


def test_the_counters_session_outlives_a_restart_of_the_broker(site: Site) -> None:
    counter = Client("counter", site.plain, "fleetmeter", "secret", keep=True)
    counter.subscribe("roboticks/#")
    counter.mqtt.disconnect()
    counter.mqtt.loop_stop()
    robot = device(site, "4711")
    robot.mqtt.publish("roboticks/1/2/4711/state", b"before", qos=1).wait_for_publish(PATIENCE)
    site.restart()
    robot = device(site, "4711")
    robot.mqtt.publish("roboticks/1/2/4711/events", b"after", qos=1).wait_for_publish(PATIENCE)
    again = Client("counter", site.plain, "fleetmeter", "secret", keep=True)
    again.wait_for("roboticks/1/2/4711/events")
    assert again.topics == ["roboticks/1/2/4711/state", "roboticks/1/2/4711/events"]
    again.mqtt.disconnect()
    robot.mqtt.disconnect()
