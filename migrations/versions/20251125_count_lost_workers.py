"""How many workers died over a run is counted: one that kills every worker ends as a dead letter."""

from alembic import op

revision = "o0123456789k"
down_revision = "n0123456789j"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE job_runs ADD COLUMN lost_workers INTEGER DEFAULT 0 NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE job_runs DROP COLUMN lost_workers")
