"""deploy/mosquitto.conf as it is, moved to other paths and ports: who gets in, and what is kept."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from paho.mqtt.enums import CallbackAPIVersion

from fleetmeter.embedded import brokers, ports

DEPLOY = Path(__file__).parents[3] / "deploy"
PATIENCE = 30.0
pytestmark = pytest.mark.mosquitto


@dataclass
class Site:
    folder: Path
    plain: int
    tls: int


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
        sentence = "mosquitto is not installed, so its configuration is not tried; as root: make extras"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(sentence)
    issuer, issuer_key = authority(tmp_path)
    for name in ("server", "4711"):
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issue(tmp_path / name, subject, ec.generate_private_key(ec.SECP256R1()), issuer, issuer_key)
    shutil.copy(DEPLOY / "mosquitto.acl", tmp_path / "acl")
    made = ["mosquitto_passwd", "-b", "-c", "passwords", "fleetmeter", "secret"]
    subprocess.run(made, check=True, cwd=tmp_path)
    here = Site(tmp_path, *free_ports())
    (tmp_path / "mosquitto.conf").write_text(moved(here))
    kind.account.own(tmp_path, *tmp_path.iterdir())
    command = [kind.command[0], "-c", "mosquitto.conf"]
    process = subprocess.Popen(command, **(kind.account.popen | {"cwd": tmp_path}))
    listening(here.tls, process)
    yield here
    process.terminate()
    process.wait()


def free_ports() -> tuple[int, int]:
    with socket.create_server((ports.HOST, 0)) as one, socket.create_server((ports.HOST, 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]


def moved(site: Site) -> str:
    text = (DEPLOY / "mosquitto.conf").read_text()
    for folder in ("ca_certificates/", "certs/", ""):
        text = text.replace(f" /etc/mosquitto/{folder}", " ")
    text = text.replace("listener 1883", f"listener {site.plain}")
    text = text.replace("listener 8883", f"listener {site.tls} 127.0.0.1")
    return text.replace("persistence_location /var/lib/mosquitto/\n", "")


def listening(port: int, process: subprocess.Popen[bytes]) -> None:
    while True:
        assert process.poll() is None, "mosquitto refuses deploy/mosquitto.conf"
        try:
            socket.create_connection((ports.HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return


class Client:
    def __init__(self, name: str, port: int, user: str = "", password: str = "", tls: str = "") -> None:
        self.answer: str | None = None
        self.topics: list[str] = []
        self.connected, self.arrived, self.subscribed = (threading.Event() for _ in range(3))
        self.mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, name, reconnect_on_failure=False)
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
        self.topics.append(topic)
        self.arrived.set()


def test_nobody_comes_in_without_a_name(site: Site) -> None:
    assert Client("stranger", site.plain).answer == "Not authorized"
    assert Client("stranger", site.plain, "fleetmeter", "guess").answer == "Not authorized"
    assert Client("stranger", site.tls, tls=f"{site.folder}/").answer != "Success"


def test_a_device_publishes_below_its_own_id_only(site: Site) -> None:
    counter = Client("counter", site.plain, "fleetmeter", "secret")
    assert counter.answer == "Success"
    counter.mqtt.subscribe("roboticks/#", qos=1)
    assert counter.subscribed.wait(PATIENCE)
    device = Client("4711", site.tls, tls=f"{site.folder}/4711")
    assert device.answer == "Success"
    device.mqtt.publish("roboticks/1/2/4712/state", b"another's", qos=1)
    device.mqtt.publish("roboticks/1/2/4711/state", b"mine", qos=1).wait_for_publish(PATIENCE)
    assert counter.arrived.wait(PATIENCE)
    assert counter.topics == ["roboticks/1/2/4711/state"]
    device.mqtt.disconnect()
    counter.mqtt.disconnect()
