"""The bytes of a project's log entries may be unknown: rows without a size, or a sum beyond 64 bits."""

from alembic import op

revision = "x9012345678t"
down_revision = "w8901234567s"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE log_levels ALTER COLUMN bytes DROP NOT NULL")


def downgrade() -> None:
    op.execute("DELETE FROM log_levels")  # counted again by the next refresh
    op.execute("ALTER TABLE log_levels ALTER COLUMN bytes SET NOT NULL")
