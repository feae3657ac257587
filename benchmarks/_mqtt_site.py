"""The site of the MQTT benchmarks: a mosquitto, a database, and consumers of their messages."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, text

from fleetmeter import environment, schema
from metering.catalogue.meters import messages_sql
from metering.config.database import DRIVER

PROJECTS, DEVICES = 24, 25
ROOT = "bench"

CONFIGURATION = """
user root
allow_anonymous true
max_queued_messages 2000000000
max_inflight_messages 65534
queue_qos0_messages true
set_tcp_nodelay true
listener {port} 127.0.0.1
listener {tls_port} 127.0.0.1
cafile {folder}/server.crt
certfile {folder}/server.crt
keyfile {folder}/server.key
"""


@dataclass
class Site:
    """A broker with a plain and a TLS port, a database with projects, both for this run alone."""

    folder: Path
    port: int
    tls_port: int
    database: URL
    engine: Engine
    topics: list[bytes]
    broker_pid: int

    @property
    def ca(self) -> Path:
        return self.folder / "server.crt"

    def count_visible(self) -> int:
        """Messages visible in the running totals and in unattributed_messages."""
        query = f"""SELECT coalesce((SELECT sum({messages_sql()}) FROM project_stats), 0)
            + coalesce((SELECT sum(messages) FROM unattributed_messages), 0)"""
        with self.engine.connect() as connection:
            return int(connection.scalar(text(query)) or 0)

    def await_counted(self, total: int, seconds: float = 120) -> float:
        """Seconds until exactly `total` messages are counted; more or fewer is an error."""
        began = time.monotonic()
        while (total_counted := self.count_visible()) < total:
            if time.monotonic() - began > seconds:
                raise AssertionError(f"counted {total_counted} of {total}")
            time.sleep(0.01)
        assert total_counted == total, f"counted {total_counted} of {total}"
        return time.monotonic() - began

    def await_connected(self, client_id: str) -> None:
        query = text("SELECT connected FROM mqtt_sessions WHERE client_id = :client")
        while True:
            with self.engine.connect() as connection:
                if connection.scalar(query, {"client": client_id}):
                    return
            time.sleep(0.02)


@contextmanager
def site(projects: int = PROJECTS) -> Iterator[Site]:
    """Set up a site and remove it. Needs mosquitto; the database comes from the settings."""
    _program("mosquitto_sub")
    with tempfile.TemporaryDirectory(prefix="fleetmeter-bench-") as name:
        folder = Path(name)
        _certificate(folder)
        port, tls_port = _free_port(), _free_port()
        configuration = CONFIGURATION.format(port=port, tls_port=tls_port, folder=folder)
        (folder / "mosquitto.conf").write_text(configuration)
        program = _program("mosquitto")
        with (folder / "log").open("wb") as log, _database() as (database, engine):
            broker = subprocess.Popen([program, "-c", folder / "mosquitto.conf"], stdout=log, stderr=log)
            try:
                _listening(port)
                topics = _fill(engine, projects)
                yield Site(folder, port, tls_port, database, engine, topics, broker.pid)
            finally:
                broker.kill()
                broker.wait()


@contextmanager
def consumer(
    bench_site: Site, kind: str, client_id: str, tls: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a consumer with its imports done; it connects once its standard input is closed."""
    scheme, port = ("mqtts", bench_site.tls_port) if tls else ("mqtt", bench_site.port)
    variables = {
        "DATABASE_URL": bench_site.database.render_as_string(hide_password=False),
        "MQTT_URL": f"{scheme}://localhost:{port}" if tls else f"{scheme}://127.0.0.1:{port}",
        "MQTT_TOPIC_ROOT": ROOT,
        "MQTT_CLIENT_ID": client_id,
        "MQTT_CA_FILE": str(bench_site.ca) if tls else "",
    }
    command = [sys.executable, "-m", "benchmarks._mqtt_consumer", kind]
    process = subprocess.Popen(
        command,
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(bench_site.folder / "consumer.log").open("ab"),
    )
    assert process.stdin
    assert process.stdout
    process.stdout.readline()
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def go(process: subprocess.Popen[bytes]) -> None:
    """Let a consumer connect."""
    assert process.stdin
    process.stdin.close()


def _program(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if path is None:
        raise SystemExit(f"{name} is not installed, and this benchmark needs it; get it with: make extras")
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listening(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("mosquitto does not start")


def _certificate(folder: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", folder / "server.key", "-out", folder / "server.crt"]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)


@contextmanager
def _database() -> Iterator[tuple[URL, Engine]]:
    name = f"fleetmeter_bench_{os.getpid()}_{time.monotonic_ns()}"
    settings = environment.load_or_start()
    server = settings.database.set(drivername=DRIVER)
    admin = create_engine(environment.maintenance_url(settings), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" OWNER "{server.username}"'))
    engine = create_engine(server.set(database=name))
    try:
        schema.migrate(engine)
        yield server.set(database=name), engine
    finally:
        engine.dispose()
        with admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        admin.dispose()


def _fill(engine: Engine, projects: int) -> list[bytes]:
    with engine.begin() as connection:
        one = connection.scalar(text("INSERT INTO organizations (name) VALUES ('Bench') RETURNING id"))
        ids = connection.scalars(
            text("""INSERT INTO projects (organization_id, name)
                SELECT :one, 'Bench ' || n FROM generate_series(1, :count) n RETURNING id"""),
            {"one": one, "count": projects},
        ).all()
    devices = DEVICES if projects <= PROJECTS else 1
    return [
        f"{ROOT}/{one}/{project}/robot-{device}/telemetry".encode()
        for device in range(devices)
        for project in ids
    ]
