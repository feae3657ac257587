"""The platform's tables: Fleetmeter reads them and never alters them."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Table,
    Text,
    text,
)

from metering.db.tables.base import (
    INSTANT,
    METADATA,
    created_at,
    organization_id,
    project_id,
)

PLATFORM = {"owner": "platform"}


def _platform_table(name: str, *columns: Column[Any]) -> Table:
    return Table(
        name,
        METADATA,
        Column("id", BigInteger, Identity(), primary_key=True),
        *columns,
        created_at(),
        info=PLATFORM,
    )


organizations = _platform_table(
    "organizations",
    Column("name", Text, nullable=False),
    Column("tier", Text, nullable=False, server_default=text("'free'")),
)
users = _platform_table("users", organization_id(), Column("email", Text, nullable=False))
projects = _platform_table(
    "projects",
    organization_id(),
    Column("name", Text, nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    Column("deactivated_at", INSTANT),
)
devices = _platform_table(
    "devices",
    project_id(),
    Column("name", Text, nullable=False),
    Column("last_seen_at", INSTANT),
)
sessions = _platform_table("sessions", project_id(), Column("device_id", BigInteger))
logs = _platform_table(
    "logs",
    project_id(),
    Column("device_id", BigInteger),
    Column("size_bytes", BigInteger, nullable=False, server_default=text("0")),
)
deployments = _platform_table("deployments", project_id())
api_calls = _platform_table("api_calls", project_id())
data_transfers = _platform_table(
    "data_transfers",
    project_id(),
    Column("kind", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False, server_default=text("0")),
)
