"""The schema's version: bring it to head, or say in one sentence that it is not there."""

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from metering import database
from metering.errors import SchemaError


def migrate(engine: Engine, revision: str = "head") -> str | None:
    """Upgrade to `revision`; returns the revision reached.

    Two processes may do so at once: the second waits, and finds nothing left to do.
    Raises SchemaError when the database holds foreign tables of our names, or refuses.
    """
    with database.connected(engine) as connection:
        _alembic(connection, command.upgrade, revision)
        return current(connection)


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Take our tables away down to `revision`; the platform's stay."""
    with database.connected(engine) as connection:
        _alembic(connection, command.downgrade, revision)


def current(connection: Connection) -> str | None:
    """The revision the database is at, None before the first migration."""
    options = {"version_table": "fleetmeter_version"}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def head() -> str | None:
    """The newest revision this installation knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def require_head(engine: Engine) -> None:
    """Raises SchemaError unless the database is at head."""
    with database.transaction(engine) as connection:
        at = current(connection)
    if at != head():
        raise SchemaError(
            f"the database {engine.url.database} is at schema {at or 'none'}, this Fleetmeter "
            f"needs {head()}; run: fleetmeter migrate"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    return config


def _alembic(connection: Connection, do: object, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    try:
        do(config, revision)  # type: ignore[operator]
    except RuntimeError as error:  # the migrations' own refusals
        raise SchemaError(f"the database was left as it was: {error}") from error
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise SchemaError(f"the migration was rolled back: {reason}") from error
