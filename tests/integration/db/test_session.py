"""Sessions are UTC and UTF-8 whatever stands between, or refused with a sentence."""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, text

from metering.config.settings import load_settings
from metering.db.engine import engine_of, open_engine
from metering.db.transactions import read_snapshot, session_lock, transaction
from metering.errors import DatabaseRefused, DatabaseUnavailable, LockTimeout, SettingsError
from tests.support import programs
from tests.support.ports import free_port, is_open
from tests.support.until import until


def setting(engine: Engine, name: str) -> object:
    with transaction(engine) as connection:
        return connection.scalar(text("SELECT current_setting(:name)"), {"name": name})


@contextmanager
def foreign_defaults(admin: Connection, url: URL) -> Iterator[None]:
    """Give the database defaults that would make every day and every text wrong."""
    for assignment in ("timezone = 'Australia/Lord_Howe'", "default_transaction_isolation = 'serializable'"):
        admin.execute(text(f'ALTER DATABASE "{url.database}" SET {assignment}'))
    yield


def test_a_session_is_utc_and_read_committed_whatever_the_database_says(admin: Connection, url: URL) -> None:
    with foreign_defaults(admin, url):
        engine = engine_of(url)
        assert setting(engine, "TimeZone") == "UTC"
        assert setting(engine, "transaction_isolation") == "read committed"
        with read_snapshot(engine) as connection:
            assert connection.scalar(text("SHOW transaction_isolation")) == "repeatable read"
        engine.dispose()


def test_options_of_the_url_are_honoured(url: URL, admin: Connection) -> None:
    options = "-c search_path=meter,public --statement_timeout=7s -cwork_mem=8MB"
    engine = engine_of(url.update_query_dict({"options": options}))
    assert setting(engine, "search_path") == "meter,public"
    assert setting(engine, "statement_timeout") == "7s"
    assert setting(engine, "work_mem") == "8MB"
    assert setting(engine, "TimeZone") == "UTC"
    engine.dispose()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("-c timezone=Europe/Berlin", "TimeZone"),
        ("-c TIMEZONE=CET", "TimeZone"),
        ("--fast", "fast"),
        ("-B 5", "-B"),
    ],
)
def test_options_that_cannot_hold_are_refused(url: URL, options: str, named: str) -> None:
    with pytest.raises(SettingsError, match=f"DATABASE_URL: options .*{named}"):
        engine_of(url.update_query_dict({"options": options}))


def test_a_database_of_another_encoding_is_refused(admin: Connection, server: URL) -> None:
    admin.execute(text("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"))
    try:
        engine = engine_of(server.set(database="latin"))
        with pytest.raises(DatabaseRefused, match=r"latin has the encoding LATIN1.*ENCODING 'UTF8'"):
            setting(engine, "TimeZone")
        engine.dispose()
    finally:
        admin.execute(text("DROP DATABASE latin WITH (FORCE)"))


def test_a_read_only_database_is_one_sentence(engine: Engine, admin: Connection, url: URL) -> None:
    admin.execute(text(f'ALTER DATABASE "{url.database}" SET default_transaction_read_only = on'))
    with (
        pytest.raises(DatabaseUnavailable, match=r"is read-only: .*connect to the primary"),
        transaction(engine) as connection,
    ):
        connection.execute(text("DELETE FROM workers"))


def test_a_lock_that_is_never_free_is_one_sentence(engine: Engine) -> None:
    with (
        session_lock(engine, "work"),
        pytest.raises(LockTimeout, match=r"'work' was not free for 0.3 s"),
        session_lock(engine, "work", patience=0.3),
    ):
        pass


def test_a_lock_is_free_again_after_its_holder(engine: Engine) -> None:
    with session_lock(engine, "work"):
        pass
    with session_lock(engine, "work", patience=5):
        pass


# PgBouncer, as Debian ships it.


@contextmanager
def pgbouncer(target: URL, mode: str, size: int = 20) -> Iterator[URL]:
    program = programs.require("pgbouncer")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        yield from _serving(program, Path(name), port, target, mode, size)


def _serving(program: str, folder: Path, port: int, target: URL, mode: str, size: int) -> Iterator[URL]:
    (folder / "users.txt").write_text(f'"{target.username}" "{target.password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={target.host} port={target.port}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
        f"auth_file = {folder}/users.txt\npool_mode = {mode}\ndefault_pool_size = {size}\n"
    )
    command = [program, str(folder / "pgbouncer.ini")]
    if os.geteuid() == 0:  # it refuses to run as root
        user = pwd.getpwnam("nobody")
        for path in (folder, *folder.iterdir()):
            os.chown(path, user.pw_uid, user.pw_gid)
        command[1:1] = ["-u", "nobody"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: is_open(port))
        yield target.set(host="127.0.0.1", port=port)
    finally:
        process.terminate()
        process.wait(10)


def test_behind_a_pooler_in_session_mode_everything_holds(url: URL, admin: Connection) -> None:
    with foreign_defaults(admin, url), pgbouncer(url, "session") as pooled:
        settings = load_settings(database_url=pooled.render_as_string(hide_password=False))
        engine = open_engine(settings)
        assert setting(engine, "TimeZone") == "UTC"
        with session_lock(engine, "work"):
            pass
        engine.dispose()
        plain = create_engine(pooled)  # another client, which gets the same server connection
        assert setting(plain, "idle_session_timeout") == "0"
        plain.dispose()


@pytest.mark.parametrize(("mode", "size"), [("transaction", 20), ("transaction", 1), ("statement", 20)])
def test_a_pooler_that_keeps_no_session_is_refused(url: URL, mode: str, size: int) -> None:
    with pgbouncer(url, mode, size) as pooled:
        engine = open_engine(load_settings(database_url=pooled.render_as_string(hide_password=False)))
        with pytest.raises(DatabaseRefused, match=rf"pooler in {mode} mode .*pool_mode = session"):
            setting(engine, "TimeZone")
        with pytest.raises(DatabaseRefused):  # and again
            setting(engine, "TimeZone")
        engine.dispose()


def test_no_thread_works_through_such_a_pooler_while_another_one_checks(url: URL) -> None:
    with pgbouncer(url, "transaction") as pooled, ThreadPoolExecutor(4) as pool:
        engine = open_engine(load_settings(database_url=pooled.render_as_string(hide_password=False)))
        outcomes = [pool.submit(setting, engine, "TimeZone") for _ in range(4)]
        assert [type(outcome.exception()) for outcome in outcomes] == [DatabaseRefused] * 4
        engine.dispose()


def test_a_pool_of_one_connection_is_one_sentence(url: URL) -> None:
    with pgbouncer(url, "session", 1) as pooled:
        engine = open_engine(load_settings(database_url=pooled.render_as_string(hide_password=False)))
        with pytest.raises(
            DatabaseUnavailable, match=r"no second connection within 5 s; .*default_pool_size"
        ):
            setting(engine, "TimeZone")
        engine.dispose()


def test_without_a_pooler_nothing_is_refused(engine: Engine) -> None:
    assert setting(engine, "TimeZone") == "UTC"
