"""Sealed days, closed months, the plans that rated them, and corrections."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from metering.catalogue.meters import GAUGE_NAMES
from metering.db.tables.base import (
    INSTANT,
    METADATA,
    NOW,
    counters,
    created_at,
    form,
    levels,
    organization_id,
    own_meters,
    project_id,
)

# A sealed UTC day: immutable, hashed in its `form`. `coverage` says how well it was measured.
daily_stats = Table(
    "daily_stats",
    METADATA,
    project_id(primary_key=True),
    Column("date", Date, primary_key=True),
    organization_id(),
    Column("year", SmallInteger, nullable=False),
    Column("month", SmallInteger, nullable=False),
    Column("day", SmallInteger, nullable=False),
    *counters(),
    *levels(GAUGE_NAMES),
    Column("tier", Text, nullable=False),
    Column("coverage", JSONB, nullable=False),
    form(),
    own_meters(),
    Column("row_hash", Text, nullable=False),
    created_at(),
    Index("daily_stats_organization_id_date_idx", "organization_id", "date"),
    Index("daily_stats_created_at_idx", "created_at", postgresql_using="brin"),
    Index("daily_stats_date_idx", "date"),
    Index(
        "daily_stats_incomplete_idx",
        "date",
        postgresql_where=text(
            'coverage @? \'$.*.state ? (@ == "partial" || @ == "missing" || @ == "denied" || @ == "failed")\''
        ),
    ),
    postgresql_partition_by="RANGE (date)",
)

# The plans that rated a month, as they were; `hash` is the SHA-256 of the canonical content.
plan_versions = Table(
    "plan_versions",
    METADATA,
    Column("hash", Text, primary_key=True),
    Column("content", JSONB, nullable=False),
    Column("created_at", INSTANT, server_default=NOW, nullable=False),
)

# A closed UTC month: totals, peaks, tier, overage and its seal. Immutable.
monthly_stats = Table(
    "monthly_stats",
    METADATA,
    project_id(primary_key=True),
    Column("year", SmallInteger, primary_key=True),
    Column("month", SmallInteger, primary_key=True),
    organization_id(),
    *counters(),
    *levels(GAUGE_NAMES, "peak_"),
    Column("tier", Text, nullable=False),
    Column("exceeded_limits", JSONB, nullable=False),
    Column("overage_charge", Numeric, nullable=False),
    Column("plan_fee", Numeric, nullable=False),
    Column("adjustment_charge", Numeric, nullable=False),
    Column("total_charge", Numeric, nullable=False),
    Column("currency", Text, nullable=False),
    Column("plan_version", Text, ForeignKey("plan_versions.hash"), nullable=False),
    Column("days_present", SmallInteger, nullable=False),
    Column("days_expected", SmallInteger, nullable=False),
    Column("owners", JSONB, nullable=False, server_default=text("'[]'")),
    Column("later_readings", JSONB, nullable=False, server_default=text("'[]'")),
    Column("versions", JSONB, nullable=False, server_default=text("'[]'")),
    form(),
    own_meters(),
    Column("previous_seal", Text, nullable=False),
    Column("seal", Text, nullable=False),
    Column("closed_by", Text, nullable=False),
    created_at(),
    Index("monthly_stats_organization_id_year_month_idx", "organization_id", "year", "month"),
    Index("monthly_stats_year_month_idx", "year", "month"),
)

# A correction posted into an open month: a quantity of a meter, an amount of money, or both.
#
# A quantity with an amount is about a closed month and bills the amount, what it is worth there. An
# amount without `currency` was posted before there was one.
#
# `usage_date` is the date it speaks about, `posted_month` the first day of the month that bills
# it. Append-only: a wrong one is reversed by another.
adjustments = Table(
    "adjustments",
    METADATA,
    Column("project_id", BigInteger, ForeignKey("projects.id"), primary_key=True),
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("kind", Text, server_default=text("'correction'"), nullable=False),
    Column("meter", Text),
    Column("quantity", BigInteger),
    Column("amount", Numeric),
    Column("currency", Text),
    Column("usage_date", Date, nullable=False),
    Column("posted_month", Date, nullable=False),
    Column("reverses", BigInteger),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at", INSTANT, server_default=NOW, nullable=False),
    CheckConstraint(
        "(meter IS NULL) = (quantity IS NULL) AND (quantity IS NOT NULL OR amount IS NOT NULL)"
        " AND (currency IS NULL OR amount IS NOT NULL)",
        name="quantity_or_amount",
    ),
    CheckConstraint("extract(day FROM posted_month) = 1", name="posted_month"),
    Index("adjustments_posted_month_project_id_idx", "posted_month", "project_id"),
    Index(
        "adjustments_late_rows_key",
        "project_id",
        "usage_date",
        "meter",
        unique=True,
        postgresql_where=text("kind = 'late_rows'"),
    ),
)

# A month before the installation that somebody asked to be billed.
history_to_bill = Table(
    "history_to_bill",
    METADATA,
    Column("project_id", BigInteger, ForeignKey("projects.id"), primary_key=True, autoincrement=False),
    Column("month", Date, primary_key=True),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", INSTANT, nullable=False),
)
