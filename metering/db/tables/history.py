"""What was read of organizations and projects, and when."""

from sqlalchemy import BigInteger, Column, Date, Table, Text, text

from metering.db.tables.base import INSTANT, METADATA

# An instant at which the platform's organizations and projects were read.
catalogue_readings = Table(
    "catalogue_readings",
    METADATA,
    Column("at", INSTANT, primary_key=True),
)

# A tier of an organization, from the reading that first found it until the next row's.
organization_tiers = Table(
    "organization_tiers",
    METADATA,
    Column("organization_id", BigInteger, primary_key=True, autoincrement=False),
    Column("read_from", INSTANT, primary_key=True),
    Column("tier", Text, nullable=False),
)

# An owner of a project, from the reading that first found it until the next row's.
#
# A trigger keeps `owned_from` and `owned_until`; the first reading counts for all time before it.
project_owners = Table(
    "project_owners",
    METADATA,
    Column("project_id", BigInteger, primary_key=True, autoincrement=False),
    Column("read_from", INSTANT, primary_key=True),
    Column("organization_id", BigInteger, index=True, nullable=False),
    Column("owned_from", INSTANT, server_default=text("'-infinity'"), nullable=False),
    Column("owned_until", INSTANT, server_default=text("'infinity'"), nullable=False),
)

# A time in which a project was off; whole UTC days of it are `off_from` until before `off_until`.
project_pauses = Table(
    "project_pauses",
    METADATA,
    Column("project_id", BigInteger, primary_key=True, autoincrement=False),
    Column("starts_at", INSTANT, primary_key=True),
    Column("ends_at", INSTANT),
    Column("off_from", Date, nullable=False),
    Column("off_until", Date),
    Column("deactivated_at", INSTANT),
)
