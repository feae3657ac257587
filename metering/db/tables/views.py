"""What people keep for the console's charts: saved views, and notes on days."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Identity,
    Index,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from metering.db.tables.base import INSTANT, METADATA

_CLOCK = text("clock_timestamp()")

# A question of Explore or Changes under a name: the query of an address, no figures.
#
# `organization_ids` are the owner's, NULL of the platform's people. Views of an organization are not shared.
saved_views = Table(
    "saved_views",
    METADATA,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("name", Text, nullable=False),
    Column("page", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("organization_ids", ARRAY(BigInteger)),
    Column("is_shared", Boolean, server_default=text("false"), nullable=False),
    Column("is_pinned", Boolean, server_default=text("false"), nullable=False),
    Column("created_at", INSTANT, server_default=_CLOCK, nullable=False),
    CheckConstraint("page IN ('explore', 'changes')", name="page"),
    CheckConstraint("NOT is_shared OR organization_ids IS NULL", name="shared"),
    Index("saved_views_owner_name_key", "owner", "name", unique=True),
)

# A note on UTC days, both included: about a project, an organization, or with neither about the fleet.
#
# A project's note keeps the organization that it had when the note was written.
annotations = Table(
    "annotations",
    METADATA,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("first", Date, nullable=False),
    Column("last", Date, nullable=False),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("organization_id", BigInteger),
    Column("project_id", BigInteger),
    Column("author", Text, nullable=False),
    Column("created_at", INSTANT, server_default=_CLOCK, nullable=False),
    CheckConstraint("kind IN ('incident', 'price', 'other')", name="kind"),
    CheckConstraint("first <= last", name="range"),
    CheckConstraint("project_id IS NULL OR organization_id IS NOT NULL", name="scope"),
    Index("annotations_last_idx", "last"),
)
