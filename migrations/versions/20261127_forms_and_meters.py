"""The form that a sealed row is hashed in, and a column for the meters of the platform's own."""

from alembic import op

revision = "q2345678901m"
down_revision = "p1234567890l"
branch_labels = None
depends_on = None

SEALED = ("daily_stats", "monthly_stats")
METERED = ("usage_hourly", "project_stats", *SEALED)


def upgrade() -> None:
    for table in SEALED:
        op.execute(f"ALTER TABLE {table} ADD COLUMN form SMALLINT DEFAULT 1 NOT NULL")
    for table in METERED:
        op.execute(f"ALTER TABLE {table} ADD COLUMN meters JSONB DEFAULT '{{}}' NOT NULL")
    op.execute("ALTER TABLE project_stats ADD COLUMN lifetime_meters JSONB DEFAULT '{}' NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE project_stats DROP COLUMN lifetime_meters")
    for table in METERED:
        op.execute(f"ALTER TABLE {table} DROP COLUMN meters")
    for table in SEALED:
        op.execute(f"ALTER TABLE {table} DROP COLUMN form")
