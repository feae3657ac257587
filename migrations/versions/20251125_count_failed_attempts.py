"""Attempts that failed are counted apart from claims: a run whose workers were killed is not worn out."""

from alembic import op

revision = "n0123456789j"
down_revision = "m0123456789j"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE job_runs ADD COLUMN failed_attempts INTEGER DEFAULT 0 NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE job_runs DROP COLUMN failed_attempts")
