"""Alembic's environment: our tables only, one migrator at a time, versions in fleetmeter_version."""

from typing import Any

from alembic import context
from sqlalchemy import Connection, pool, text

from metering.config.settings import load_settings
from metering.db.engine import engine_of
from metering.db.tables import METADATA, OWN_TABLES
from metering.db.transactions import advisory_lock

LOCK_TIMEOUT = "15s"  # a migration that would block the platform gives up instead


def ours(item: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
    """Return whether Alembic compares an item: of our tables, not of the platform's or of partitions."""
    table = item if kind == "table" else getattr(item, "table", None)
    return table is None or table.name in OWN_TABLES


def migrate(connection: Connection) -> None:
    """Run the migrations on `connection`, one migrator at a time."""
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        version_table="fleetmeter_version",
        include_object=ours,
    )
    with context.begin_transaction():
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        advisory_lock(connection, "migrate")
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("Fleetmeter's migrations read the database they change; run them online.")

callers_connection: Connection | None = context.config.attributes.get("connection")
if callers_connection is not None:
    migrate(callers_connection)
else:
    engine = engine_of(load_settings().database, poolclass=pool.NullPool)
    with engine.connect() as connection:
        migrate(connection)
