"""Set and verify the settings of a database session, after connecting and not by startup options.

A connection pooler refuses or drops the startup parameter `options`, so every setting is sent as a
statement once the connection stands, and the ones that numbers depend on are read back.
"""

import shlex
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL

from metering.errors import DatabaseRefused, SettingsError

# A day starts at 00:00 UTC, text is UTF-8, and the locks of rule 12 are enough at READ COMMITTED.
VERIFIED = {"TimeZone": "UTC", "client_encoding": "UTF8", "default_transaction_isolation": "read committed"}

# jit: compiling a statement takes longer than running most of ours does. The timeouts end what a frozen or
# vanished process holds: its transaction within 20 s; a dead machine is noticed within 30 s (PostgreSQL's
# own default is two hours); nobody waits for a lock longer than five minutes.
SETTINGS = VERIFIED | {
    "jit": "off",
    "idle_in_transaction_session_timeout": "20s",
    "lock_timeout": "5min",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


def session_settings(url: URL) -> dict[str, str]:
    """Return the session settings of a URL's `options=-c name=value`, merged with ours.

    Raises SettingsError for an option of another form, and for one that would make numbers wrong.
    """
    options = url.query.get("options", "")
    words = shlex.split(options if isinstance(options, str) else " ".join(options))
    settings = dict(_pair(word) for word in _join_flags(words))
    for name, value in VERIFIED.items():
        other = next((text for key, text in settings.items() if key.lower() == name.lower()), value)
        if other.lower() != value.lower():
            raise SettingsError(f"DATABASE_URL: options sets {name} to {other}; Fleetmeter needs {value}")
    return SETTINGS | settings


def _join_flags(words: list[str]) -> list[str]:
    """Return each option without its flag: `-c a=b`, `-ca=b` and `--a=b` become `a=b`."""
    joined, words = [], list(words)
    while words:
        word = words.pop(0)
        if word == "-c" and words:
            word += words.pop(0)
        joined.append(word.removeprefix("-c") if word.startswith("-c") else word.removeprefix("--"))
    return joined


def _pair(option: str) -> tuple[str, str]:
    name, equals, value = option.partition("=")
    if not equals or not name.replace("_", "").replace(".", "").isalnum():
        raise SettingsError(f"DATABASE_URL: options takes -c name=value, separated by spaces, not {option!r}")
    return name, value


def prepare(connection: Any, settings: Mapping[str, str] = SETTINGS) -> None:
    """Apply `settings` to a new psycopg2 connection and read back the ones in VERIFIED.

    Raises DatabaseRefused for a database that is not UTF-8, and where a setting does not hold.
    """
    autocommit, connection.autocommit = connection.autocommit, True
    try:
        connection.set_client_encoding("UTF8")
        with connection.cursor() as cursor:
            _apply(cursor, settings)
            _verify(cursor)
    finally:
        connection.autocommit = autocommit


def _apply(cursor: Any, settings: Mapping[str, str]) -> None:
    calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
    cursor.execute(f"SELECT {calls}", [text for pair in settings.items() for text in pair])


def _verify(cursor: Any) -> None:
    names = [*VERIFIED, "server_encoding"]
    cursor.execute(f"SELECT current_database(), {', '.join(['current_setting(%s)'] * len(names))}", names)
    database, *values = cursor.fetchone()
    actual = dict(zip(names, values, strict=True))
    encoding = actual.pop("server_encoding")
    if encoding != "UTF8":
        raise DatabaseRefused(
            f"the database {database} has the encoding {encoding}, which cannot hold every name and topic; "
            "move it to a database made with: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    for name, value in VERIFIED.items():
        if actual[name] != value:
            raise DatabaseRefused(
                f"a session of the database {database} has {name} = {actual[name]} although {value} was "
                "set; a connection pooler in front of it must be in session mode (pool_mode = session)"
            )
