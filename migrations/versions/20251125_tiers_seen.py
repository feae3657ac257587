"""Each organization's tier and from when to when it was seen: days sealed late take the tier of then."""

from alembic import op

revision = "p1234567890l"
down_revision = "o0123456789k"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE tiers_seen (
            organization_id BIGINT NOT NULL,
            seen_from TIMESTAMP WITH TIME ZONE NOT NULL,
            seen_until TIMESTAMP WITH TIME ZONE NOT NULL,
            tier TEXT NOT NULL,
            CONSTRAINT tiers_seen_pkey PRIMARY KEY (organization_id, seen_from)
        ) WITH (fillfactor = 70)""")


def downgrade() -> None:
    op.execute("DROP TABLE tiers_seen")
