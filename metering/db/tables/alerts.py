"""Incidents, the notices about them, and what customers set: thresholds and budgets."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from metering.db.tables.base import INSTANT, METADATA, NOW

# An incident: something that was or is wrong, one row for each cause, which `subject` names.
#
# Open while `resolved_at` is NULL. `history`: that it opened and each time that it became worse. `note` is
# the last acknowledgement's, which an escalation takes away. `organization_id` where no project has it.
alerts = Table(
    "alerts",
    METADATA,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("project_id", BigInteger),
    Column("subject", Text, nullable=False),
    Column("detail", JSONB, server_default=text("'{}'"), nullable=False),
    Column("opened_at", INSTANT, nullable=False),
    Column("resolved_at", INSTANT),
    Column("acknowledged_by", Text),
    Column("organization_id", BigInteger),
    Column("history", JSONB, server_default=text("'[]'"), nullable=False),
    Column("acknowledged_at", INSTANT),
    Column("note", Text),
    Index(
        "alerts_open_key",
        "kind",
        "subject",
        text("coalesce(project_id, 0)"),
        unique=True,
        postgresql_where=text("resolved_at IS NULL"),
    ),
    Index("alerts_opened_at_idx", "opened_at"),
    Index("alerts_project_id_id_idx", "project_id", "id", postgresql_where=text("project_id IS NOT NULL")),
    Index(
        "alerts_organization_id_id_idx",
        "organization_id",
        "id",
        postgresql_where=text("organization_id IS NOT NULL"),
    ),
)

# An incident on its way to a channel: that it opened, became worse (the `number`th time), or is over.
alert_notices = Table(
    "alert_notices",
    METADATA,
    Column("alert_id", BigInteger, ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("event", Text, primary_key=True),
    Column("number", Integer, primary_key=True, server_default=text("0"), autoincrement=False),
    Column("attempt", Integer, server_default=text("0"), nullable=False),
    Column("next_attempt_at", INSTANT, server_default=NOW, nullable=False),
    Column("sent_at", INSTANT),
    Column("error", Text),
    CheckConstraint("event IN ('opened', 'escalated', 'resolved')", name="event"),
    Index(
        "alert_notices_waiting_idx",
        "channel",
        "next_attempt_at",
        postgresql_where=text("sent_at IS NULL"),
    ),
)

# Shares of an allowance, in percent, at which a customer's limits are reported; `meter` NULL: of every meter.
alert_thresholds = Table(
    "alert_thresholds",
    METADATA,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("organization_id", BigInteger, nullable=False),
    Column("meter", Text),
    Column("percents", ARRAY(Integer), nullable=False),
    CheckConstraint("cardinality(percents) > 0 AND 0 < ALL (percents)", name="percents"),
    Index("alert_thresholds_key", "organization_id", text("coalesce(meter, '')"), unique=True),
)

# A limit in money of an organization's or of a project's month, compared with the projected charge.
budgets = Table(
    "budgets",
    METADATA,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("organization_id", BigInteger),
    Column("project_id", BigInteger),
    Column("amount", Numeric, nullable=False),
    Column("currency", Text, nullable=False),
    Column("created_at", INSTANT, server_default=NOW, nullable=False),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("num_nonnulls(organization_id, project_id) = 1", name="whose"),
    Index(
        "budgets_organization_id_key",
        "organization_id",
        unique=True,
        postgresql_where=text("organization_id IS NOT NULL"),
    ),
    Index(
        "budgets_project_id_key",
        "project_id",
        unique=True,
        postgresql_where=text("project_id IS NOT NULL"),
    ),
)
