"""The environment of a command: settings, a database (embedded if none is set), its schema."""

from contextlib import suppress
from datetime import UTC, datetime

from pydantic import SecretStr
from sqlalchemy import URL, Engine

from fleetmeter import schema
from fleetmeter.demo import running
from fleetmeter.embedded import postgres
from metering.catalogue import own_meters, periods
from metering.config.database import DRIVER
from metering.config.settings import Settings, load_settings
from metering.db import clock
from metering.db.engine import open_engine
from metering.db.transactions import transaction
from metering.errors import DatabaseUnavailable, PeriodError


def now() -> datetime:
    """Return the host's time in UTC; entry points read the clock here and pass it on."""
    return datetime.now(UTC)


def instant(text: str | None, settings: Settings, engine: Engine) -> datetime:
    """Return the `--at` of a command, or the present instant if it is left out.

    Raises PeriodError for the future, and ClockWrong for an `--at` on a host whose clock is wrong:
    whether that instant is past cannot be told.
    """
    if text is None:
        return present(settings, engine)
    at = periods.parse_instant(text)
    require_clock(settings, engine)
    if at > now():
        raise PeriodError(f"{at.isoformat()} is in the future; it is {now():%Y-%m-%d %H:%M} UTC")
    return at


def present(settings: Settings, engine: Engine) -> datetime:
    """Return the present instant: the host's, or the database's if they differ by more than the tolerance."""
    with transaction(engine) as connection:
        return clock.agreed_instant(connection, now(), settings.clock_tolerance)


def require_clock(settings: Settings, engine: Engine) -> None:
    """Raise ClockWrong if this host's clock and the database's differ too much to decide a period."""
    with transaction(engine) as connection:
        clock.require(connection, now(), settings.clock_tolerance)


def load() -> Settings:
    """Return the settings with a database that runs; starts nothing.

    Raises DatabaseUnavailable if none is set and the embedded PostgreSQL does not run; it names a demo
    that runs on this machine, and how to talk to it.
    """
    settings = load_settings()
    if not settings.embedded_database:
        return settings
    if not postgres.status(settings.data_dir).running:
        raise DatabaseUnavailable(_no_database(settings))
    return _with_database(settings, postgres.url(settings.data_dir))


def load_or_start() -> Settings:
    """Return the settings with a database that runs; the embedded PostgreSQL is started if none is set."""
    settings = load_settings()
    if not settings.embedded_database:
        return settings
    return _with_database(settings, postgres.ensure_running(settings.data_dir))


def _with_database(settings: Settings, url: URL) -> Settings:
    secret = SecretStr(url.render_as_string(hide_password=False))
    return settings.model_copy(update={"database_url": secret})


def _no_database(settings: Settings) -> str:
    demos = running.demos()
    hint = f"; a demo runs in {demos[0].folder}: {running.HOW}" if demos else ""
    return (
        f"no database is set and none runs in {settings.data_dir}; set DATABASE_URL, or start one with "
        f"fleetmeter up{hint}"
    )


def maintenance_url(settings: Settings) -> URL:
    """Return a login that may create databases: the embedded server's superuser, or the settings' own."""
    embedded = load_settings().embedded_database
    url = postgres.superuser_url(settings.data_dir) if embedded else settings.database
    return url.set(drivername=DRIVER)


def engine(settings: Settings, application: str = "fleetmeter", ping: bool = True) -> Engine:
    """Open an engine on a database at head. Raises SchemaError, which names `fleetmeter migrate`.

    Raises SettingsError if the file of the platform's own meters is wrong.
    """
    own_meters.load(settings.meters)
    opened = open_engine(settings, application, ping)
    schema.require_head(opened)
    return opened


def patient_engine(settings: Settings, application: str) -> Engine:
    """Open an engine for a daemon, which waits for an absent database; refuse one not at head."""
    own_meters.load(settings.meters)
    opened = open_engine(settings, application)
    with suppress(DatabaseUnavailable):
        schema.require_head(opened)
    return opened
