"""The embedded PostgreSQL: one server for a folder, behind a password, closed to the outside."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import URL, create_engine, text

from fleetmeter.embedded import postgres
from fleetmeter.embedded.errors import PostgresError

START = (
    "import sys, pathlib; from fleetmeter.embedded import postgres\n"
    "print(postgres.ensure_running(pathlib.Path(sys.argv[1])).port, flush=True)\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    postgres.destroy(tmp_path / "data")


def ask(url: URL, statement: str) -> list[object]:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        result = connection.execute(text(statement))
        rows = [row[0] for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


def test_a_second_start_gives_the_same_server(own_postgres: Path) -> None:
    before = postgres.status(own_postgres)
    assert postgres.ensure_running(own_postgres) == postgres.url(own_postgres)
    assert postgres.status(own_postgres) == before


def test_it_is_set_up_as_promised(own_postgres: Path) -> None:
    url = postgres.url(own_postgres)
    assert (url.drivername, url.host) == ("postgresql+psycopg2", "127.0.0.1")
    assert (url.username, url.database) == ("fleetmeter", "conduit")
    assert ask(url, "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user") == [False]
    names = ["data_checksums", "fsync", "listen_addresses", "max_connections", "server_encoding", "TimeZone"]
    settings = {name: ask(url, f"SHOW {name}")[0] for name in names}
    assert list(settings.values()) == ["on", "on", "127.0.0.1", "100", "UTF8", "UTC"]
    assert ask(url, "SELECT datcollate FROM pg_database") == ["C"] * 4


def test_status_hides_the_password(own_postgres: Path) -> None:
    status = postgres.status(own_postgres)
    password = postgres.url(own_postgres).password
    assert password
    assert password not in repr(status)
    assert (status.running, status.version) == (True, "18.6")
    assert (status.folder / "PG_VERSION").exists()


def test_only_the_password_opens_it(own_postgres: Path) -> None:
    url = postgres.url(own_postgres)
    for wrong in ("", "conduit"):
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(host=url.host, port=url.port, user="conduit", dbname="conduit", password=wrong)
    methods = ask(postgres.superuser_url(own_postgres), "SELECT DISTINCT auth_method FROM pg_hba_file_rules")
    assert methods == ["scram-sha-256"]
    assert stat.S_IMODE((own_postgres / "postgres" / "password").stat().st_mode) == 0o600


def test_only_loopback_is_listened_to(own_postgres: Path) -> None:
    with pytest.raises(OSError, match=r"refused|unreachable|timed out|assign"):
        socket.create_connection(("127.0.0.2", postgres.url(own_postgres).port or 0), timeout=2)


def test_two_processes_that_start_it_at_once_share_it(folder: Path) -> None:
    command = [sys.executable, "-c", START, str(folder)]
    starters = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    ports = {starter.communicate(timeout=60)[0].strip() for starter in starters}
    assert ports == {str(postgres.url(folder).port)}
    assert [starter.returncode for starter in starters] == [0, 0]


def test_it_survives_the_end_of_its_starter_and_a_ctrl_c(folder: Path) -> None:
    # Not signal.pause: a signal that comes just before it would be waited for again.
    # The handler is set, because a child of a background job inherits that SIGINT is ignored.
    interruptible = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    waiting = interruptible + START + "import time\nwhile True: time.sleep(0.1)"
    command = [sys.executable, "-c", waiting, str(folder)]
    starter = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert starter.stdout
    starter.stdout.readline()
    os.killpg(starter.pid, signal.SIGINT)
    starter.communicate(timeout=30)
    assert starter.returncode == -signal.SIGINT
    assert postgres.status(folder).running


def test_stop_stops_and_keeps_the_data(folder: Path) -> None:
    url = postgres.ensure_running(folder)
    ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert postgres.stop(folder)
    assert not postgres.stop(folder)
    assert not postgres.status(folder).running
    assert postgres.ensure_running(folder) == url
    assert ask(url, "SELECT answer FROM kept") == [42]


@pytest.mark.drill
def test_a_taken_port_is_left_to_its_taker(folder: Path) -> None:
    first = postgres.ensure_running(folder)
    ask(first, "CREATE TABLE kept AS SELECT 42 AS answer")
    postgres.stop(folder)
    with socket.create_server(("127.0.0.1", first.port or 0)):
        second = postgres.ensure_running(folder)
    assert second.port != first.port
    assert ask(second, "SELECT answer FROM kept") == [42]


def test_destroy_gives_a_fresh_cluster(folder: Path) -> None:
    ask(postgres.ensure_running(folder), "CREATE TABLE gone (id int)")
    postgres.destroy(folder)
    assert not postgres.status(folder).running
    assert ask(postgres.ensure_running(folder), "SELECT to_regclass('gone')") == [None]


def test_where_nothing_was_set_up_asking_changes_nothing(tmp_path: Path) -> None:
    assert not postgres.status(tmp_path).running
    assert not postgres.stop(tmp_path)
    postgres.destroy(tmp_path)
    with pytest.raises(PostgresError, match="fleetmeter up"):
        postgres.url(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_files_of_another_major_version_are_refused(folder: Path) -> None:
    postgres.ensure_running(folder)
    postgres.stop(folder)
    (postgres.status(folder).folder / "PG_VERSION").write_text("17\n")
    with pytest.raises(PostgresError, match="made by PostgreSQL 17"):
        postgres.ensure_running(folder)


def test_a_lost_password_is_said_at_once_and_does_not_prevent_starting_over(folder: Path) -> None:
    postgres.ensure_running(folder)
    (folder / "postgres" / "password").write_text("another\n")
    with pytest.raises(PostgresError, match="start over"):
        postgres.ensure_running(folder)
    postgres.destroy(folder)
    assert ask(postgres.ensure_running(folder), "SELECT 1") == [1]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PostgresError, match="Not a directory"):
        postgres.ensure_running(tmp_path / "file" / "data")


def test_what_an_earlier_version_made_as_superuser_goes_to_the_ordinary_owner(folder: Path) -> None:
    url = postgres.ensure_running(folder)
    superuser = postgres.superuser_url(folder)
    ask(superuser, "ALTER DATABASE conduit OWNER TO conduit")
    ask(superuser, "DROP ROLE fleetmeter")
    ask(superuser, "CREATE TABLE made (id bigint GENERATED ALWAYS AS IDENTITY)")
    ask(superuser, "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    assert postgres.ensure_running(folder) == url
    ask(url, "ALTER TABLE made ADD COLUMN more text")
    ask(url, "ALTER FUNCTION one() RENAME TO first")
    ask(url, "INSERT INTO made (more) VALUES ('row')")
    assert ask(url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [False]
