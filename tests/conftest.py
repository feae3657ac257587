"""A real PostgreSQL for the whole run, and a fresh migrated database for each test that asks.

Each worker migrates one template database; a test's database is a copy of it, which takes
milliseconds. TEST_POSTGRES_URL names a server to use instead of the embedded one, as a superuser.
The code under test logs in as an ordinary role that owns its database: row-level security binds no superuser.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from fleetmeter import schema
from metering.catalogue.periods import Month
from metering.config.settings import Settings, load_settings
from metering.db.engine import open_engine
from metering.ledger.partitions import ensure_partition
from tests.support.platform import Platform

NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
ORDINARY = "fleetmeter_tests"
MEMORY, ROOM = Path("/dev/shm"), 4e9  # noqa: S108 - bytes; where it is told from a disk


@pytest.fixture(scope="session")
def server(superuser: URL) -> URL:
    """The server's maintenance database, as an ordinary role."""
    return superuser.set(username=ORDINARY, password=_create_ordinary_role(superuser))


@pytest.fixture(scope="session")
def superuser() -> Iterator[URL]:
    """The server as its superuser."""
    server_url = os.environ.get("TEST_POSTGRES_URL")
    if server_url:
        yield make_url(server_url)
        return
    from fleetmeter.embedded import postgres

    with tempfile.TemporaryDirectory(prefix="fleetmeter-tests-", dir=_memory()) as folder:
        postgres.ensure_running(Path(folder))
        url = postgres.superuser_url(Path(folder))
        _hurry(url)
        yield url
        postgres.destroy(Path(folder))


def _create_ordinary_role(url: URL) -> str:
    """Return the password of a role that may make databases and switch triggers off, and no more."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        with suppress(DBAPIError):  # another worker of the same server was first
            connection.execute(text(f"CREATE ROLE {ORDINARY} LOGIN CREATEDB PASSWORD '{ORDINARY}'"))
        connection.execute(text(f"GRANT SET ON PARAMETER session_replication_role TO {ORDINARY}"))
    engine.dispose()
    return ORDINARY


def _memory() -> str | None:
    """A folder in memory, where a database is made six times as fast; None where there is no room."""
    there = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    return str(MEMORY) if there else None


def _hurry(url: URL) -> None:
    """Nothing of this server outlives the run, so that nothing has to be safe from a loss of power."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):
            connection.execute(text(f"ALTER SYSTEM SET {name} = off"))
        connection.execute(text("ALTER SYSTEM SET max_wal_size = '1GB'"))
        connection.execute(text("ALTER SYSTEM SET checkpoint_timeout = '1h'"))
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a running PostgreSQL of the module's own, which may be stopped and killed."""
    from fleetmeter.embedded import postgres

    folder = tmp_path_factory.mktemp("postgres")
    postgres.ensure_running(folder)
    yield folder
    postgres.destroy(folder)


@pytest.fixture(scope="session")
def admin(server: URL) -> Iterator[Connection]:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture(scope="session")
def template(server: URL, admin: Connection) -> Iterator[str]:
    name = f"template_{uuid.uuid4().hex[:12]}"
    admin.execute(text(f'CREATE DATABASE "{name}"'))
    engine = create_engine(server.set(database=name))
    schema.migrate(engine)
    with engine.begin() as connection:  # so that a test may live in any month
        connection.execute(text("ALTER TABLE audit_log DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE audit_log SET at = '2024-01-01Z' WHERE action = 'install'"))
        connection.execute(text("ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_sealed"))
        connection.execute(text("ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_kept"))
        connection.execute(text("ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_guarded"))
        for month in ("2026-10", "2026-11", "2026-12"):  # as a daemon does before it counts
            ensure_partition(connection, Month.parse(month))
    engine.dispose()
    yield name
    admin.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture
def empty_url(server: URL, admin: Connection) -> Iterator[URL]:
    """An empty database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin.execute(text(f'CREATE DATABASE "{name}"'))
    yield server.set(database=name)
    admin.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture
def url(server: URL, admin: Connection, template: str) -> Iterator[URL]:
    """A migrated database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    yield server.set(database=name)
    admin.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture
def configured(url: URL, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Settings that point at this test's database and nothing else of the environment."""
    for name in list(os.environ):
        if name.startswith(("DB_", "MQTT_", "AWS_", "S3_", "ECR_", "FLEETMETER_", "DATABASE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    monkeypatch.setenv("FLEETMETER_DATA_DIR", str(tmp_path))
    return load_settings()


@pytest.fixture
def engine(configured: Settings) -> Iterator[Engine]:
    engine = open_engine(configured)
    yield engine
    engine.dispose()


@pytest.fixture
def at() -> datetime:
    """A running instant: Tuesday 24 November 2026, half past ten."""
    return NOW


@pytest.fixture
def platform(engine: Engine) -> Platform:
    """The platform's tables, to fill."""
    return Platform(engine)
