"""Metadata, and the columns that several tables share."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    MetaData,
    SmallInteger,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from metering.catalogue.meters import COUNTER_NAMES

NAMING = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}
METADATA = MetaData(naming_convention=NAMING)
INSTANT = DateTime(timezone=True)
NOW = text("now()")


def counters(prefix: str = "") -> list[Column[Any]]:
    """Return a column for each counter."""
    zero = text("0")
    return [Column(prefix + name, BigInteger, nullable=False, server_default=zero) for name in COUNTER_NAMES]


def levels(names: tuple[str, ...], prefix: str = "") -> list[Column[Any]]:
    """Return a column for each gauge in `names`."""
    return [Column(prefix + name, BigInteger) for name in names]


def form() -> Column[Any]:
    """Return the column of the form in which a row is hashed."""
    return Column("form", SmallInteger, nullable=False, server_default=text("1"))


def own_meters(name: str = "meters") -> Column[Any]:
    """Return the column of the platform's own meters: name -> number."""
    return Column(name, JSONB, nullable=False, server_default=text("'{}'"))


def project_id(**options: Any) -> Column[Any]:
    """Return the column of the project."""
    return Column("project_id", BigInteger, ForeignKey("projects.id"), nullable=False, **options)


def organization_id() -> Column[Any]:
    """Return the column of the organization."""
    return Column("organization_id", BigInteger, ForeignKey("organizations.id"), nullable=False)


def created_at() -> Column[Any]:
    """Return the column of the insert's instant, by the database's clock."""
    return Column("created_at", INSTANT, nullable=False, server_default=NOW)
