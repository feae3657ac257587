"""Who may ask the HTTP API, and what it answered to requests that may be repeated."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from metering.db.tables.base import INSTANT, METADATA

# A token of the HTTP API. `hash` is the SHA-256 of its secret, which is shown once and never stored.
#
# `organization_id` NULL: it sees every organization. `last_used_at` is at most a minute old.
tokens = Table(
    "tokens",
    METADATA,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("organization_id", BigInteger),
    Column("created_at", INSTANT, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", INSTANT),
    Column("last_used_at", INSTANT),
    Column("revoked_at", INSTANT),
    Column("revoked_by", Text),
    CheckConstraint("role IN ('viewer', 'operator', 'admin')", name="role"),
)

# The answer to a request with an `Idempotency-Key`; `request` is the SHA-256 of the request.
idempotency_keys = Table(
    "idempotency_keys",
    METADATA,
    Column("token_id", BigInteger, ForeignKey("tokens.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request", Text, nullable=False),
    Column("status", SmallInteger),
    Column("headers", JSONB),
    Column("body", Text),
    Column("created_at", INSTANT, nullable=False),
    Index("idempotency_keys_created_at_idx", "created_at"),
)
