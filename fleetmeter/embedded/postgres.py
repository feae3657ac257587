"""A real PostgreSQL in the data folder, shared by every process that uses that folder.

    url = postgres.ensure_running(data_dir)     # SQLAlchemy URL, with the password
    postgres.status(data_dir), postgres.url(data_dir), postgres.stop(data_dir)

The server outlives whoever started it; only `stop` and `destroy` end it.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from sqlalchemy import URL

from fleetmeter.embedded import accounts, binaries, cluster, locks, server
from fleetmeter.embedded.cluster import Cluster
from fleetmeter.embedded.errors import PostgresError, explained

ACCOUNTS = ("postgres", "nobody")  # PostgreSQL refuses to run as root


@dataclass(frozen=True)
class Status:
    """The fields of `fleetmeter db status`; `url` has its password hidden."""

    running: bool
    url: str | None
    pid: int | None
    folder: Path
    version: str | None


def ensure_running(data_dir: Path) -> URL:
    """Return the URL of the folder's server; set it up and start it if needed.

    Any number of processes may call at once. Raises PostgresError.
    """
    own = _cluster(data_dir)
    with explained(PostgresError, "the embedded PostgreSQL", own.data_dir):
        if not server.answers(own):
            own.home.mkdir(parents=True, exist_ok=True)
            own.home.chmod(0o711)
            with locks.exclusive(own.lock, server.PATIENCE) as lock:
                _start(own, lock)
        return own.url


def url(data_dir: Path) -> URL:
    """Return where the folder's server listens when it runs. Raises PostgresError if never set up."""
    own = _cluster(data_dir)
    with explained(PostgresError, "the embedded PostgreSQL", own.data_dir):
        return own.url


def superuser_url(data_dir: Path) -> URL:
    """Return the URL of the cluster's superuser. Raises PostgresError if never set up."""
    own = _cluster(data_dir)
    with explained(PostgresError, "the embedded PostgreSQL", own.data_dir):
        return own.superuser_url


def status(data_dir: Path) -> Status:
    """Return the server's state without changing it. Raises PostgresError if it cannot be read."""
    own = _cluster(data_dir)
    with explained(PostgresError, "the embedded PostgreSQL", own.data_dir):
        version = _version(own)
        running = version is not None
        address = own.url.render_as_string() if own.is_set_up else None
        return Status(running, address, own.pid if running else None, own.data, version)


def stop(data_dir: Path) -> bool:
    """End the server, breaking off its sessions; False when none ran. Raises PostgresError."""
    with _alone(_cluster(data_dir)) as own:
        return own is not None and server.halt(own)


def destroy(data_dir: Path) -> None:
    """End the server and remove every row it held. Raises PostgresError."""
    with _alone(_cluster(data_dir)) as own:
        if own is not None:
            server.halt(own)
            _empty(own)


def _start(own: Cluster, lock: int) -> None:
    account = accounts.serving(own.data, ACCOUNTS)
    programs = binaries.find(account)
    if not own.data.exists():
        cluster.create(own, account, programs, lock)
    cluster.require_version(own, programs)
    server.bring_up(own, account, programs)
    server.ensure_database(own)


@contextmanager
def _alone(own: Cluster) -> Iterator[Cluster | None]:
    """Hold the cluster's lock; yield None where no cluster ever was."""
    with explained(PostgresError, "the embedded PostgreSQL", own.data_dir):
        if not own.lock.exists():
            yield None
            return
        with locks.exclusive(own.lock, server.PATIENCE):
            yield own


def _empty(own: Cluster) -> None:
    """Remove all but the lock: others may be waiting for that very file."""
    for path in own.home.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path != own.lock:
            path.unlink()


def _version(own: Cluster) -> str | None:
    try:
        connection = server.connect(own, "postgres")
    except (psycopg2.OperationalError, PostgresError):
        return None
    major, minor = divmod(connection.server_version, 10_000)
    connection.close()
    return f"{major}.{minor}"


def _cluster(data_dir: Path) -> Cluster:
    return Cluster(data_dir.expanduser().absolute())
