"""Sums of sealed days, so that years of a fleet are charted without reading every day of every project.

A trigger on `daily_stats` keeps them in the transaction of the seal, `fleetmeter_retention` shortens them,
and `fleetmeter verify` proves them equal to the days. A sum beyond 2^63 - 1 is kept as that.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Date, ForeignKey, Index, Integer, Table, Text, text

from metering.catalogue.meters import COUNTER_NAMES, GAUGE_NAMES
from metering.catalogue.sources import COUNTER_SOURCES, GAUGE_SOURCES
from metering.db.tables.base import METADATA, own_meters


def _sum(name: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _count(name: str) -> Column[Any]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


def _quality(source: str) -> list[Column[Any]]:
    """Return how many of the days a source of counters measured, and how many of those only in part."""
    return [_count(f"{source}_known"), _count(f"{source}_partial")]


def _of_days() -> list[Column[Any]]:
    """Return the columns that sum `projects` sealed days of one date.

    A counter is the sum over those whose source measured it (`<source>_known`); a gauge the sum of the known
    levels (`known_<gauge>`). `<source>_carried` levels are of an earlier day, for `storage` in one part at
    least.
    """
    return [
        _count("projects"),
        *(column for source in COUNTER_SOURCES for column in _quality(source)),
        *(_count(f"{name}_carried") for name in (*GAUGE_SOURCES, "storage")),
        *(_count(f"known_{name}") for name in GAUGE_NAMES),
        *(_sum(name) for name in (*COUNTER_NAMES, *GAUGE_NAMES)),
        own_meters(),
        own_meters("largest_meters"),
    ]


# The sealed days of an organization's projects of one tier on one date.
organization_days = Table(
    "organization_days",
    METADATA,
    Column("date", Date, primary_key=True),
    Column(
        "organization_id",
        BigInteger,
        ForeignKey("organizations.id"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("tier", Text, primary_key=True),
    *_of_days(),
    Index("organization_days_organization_id_date_idx", "organization_id", "date"),
)

# The same of every organization's projects of one tier: for totals, and for nobody of an organization.
tier_days = Table(
    "tier_days",
    METADATA,
    Column("date", Date, primary_key=True),
    Column("tier", Text, primary_key=True),
    *_of_days(),
)

# The sealed `days` of a project in one month, by their owner and tier; counters as above.
project_months = Table(
    "project_months",
    METADATA,
    Column("month", Date, primary_key=True),
    Column("project_id", BigInteger, ForeignKey("projects.id"), primary_key=True, autoincrement=False),
    Column(
        "organization_id",
        BigInteger,
        ForeignKey("organizations.id"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("tier", Text, primary_key=True),
    _count("days"),
    *(column for source in COUNTER_SOURCES for column in _quality(source)),
    *(_sum(name) for name in COUNTER_NAMES),
    own_meters(),
    own_meters("largest_meters"),
    Index("project_months_organization_id_month_idx", "organization_id", "month"),
)
