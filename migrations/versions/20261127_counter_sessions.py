"""A counter's client id per installation, what a flush is recognised by, and which counter a gap is of."""

import secrets

from alembic import op
from sqlalchemy import text

revision = "5b8d3e2f9a10"
down_revision = "s4567890123o"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE installation (
            client_id TEXT NOT NULL,
            CONSTRAINT installation_pkey PRIMARY KEY (client_id)
        );
        CREATE UNIQUE INDEX installation_single_idx ON installation ((true));
        SELECT fleetmeter_protect('installation');
        ALTER TABLE mqtt_sessions
            ADD COLUMN flush BIGINT DEFAULT 0 NOT NULL,
            ADD COLUMN shared_group TEXT,
            ADD COLUMN approximate BOOLEAN DEFAULT false NOT NULL,
            ADD COLUMN retired_at TIMESTAMP WITH TIME ZONE,
            ADD COLUMN retired_by TEXT,
            ADD COLUMN retired_reason TEXT;
        ALTER TABLE gaps ADD COLUMN client_id TEXT""")
    # 23 characters, which every broker takes; 48 random bits, which nobody guesses.
    op.get_bind().execute(
        text("INSERT INTO installation (client_id) VALUES (:id)"),
        {"id": f"fleetmeter-{secrets.token_hex(6)}"},
    )


def downgrade() -> None:
    op.execute("""
        ALTER TABLE gaps DROP COLUMN client_id;
        ALTER TABLE mqtt_sessions DROP COLUMN retired_reason, DROP COLUMN retired_by,
            DROP COLUMN retired_at, DROP COLUMN approximate, DROP COLUMN shared_group, DROP COLUMN flush;
        DROP TABLE installation""")
