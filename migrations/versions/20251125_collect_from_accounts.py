"""A broker's own counters as they were read, and the logs' sizes that need no counting again."""

from alembic import op

revision = "l0123456789j"
down_revision = "k9012345678i"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE broker_samples (
    broker TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    received BIGINT NOT NULL,
    uptime_seconds BIGINT NOT NULL,
    counted BIGINT NOT NULL,
    CONSTRAINT broker_samples_pkey PRIMARY KEY (broker, at)
);

CREATE TABLE log_levels (
    project_id BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT log_levels_pkey PRIMARY KEY (project_id),
    CONSTRAINT log_levels_project_id_fkey FOREIGN KEY(project_id) REFERENCES projects (id)
);

ALTER TABLE reconciliations ALTER COLUMN theirs DROP NOT NULL;
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    op.execute("""
        DROP TABLE broker_samples, log_levels;
        DELETE FROM reconciliations WHERE theirs IS NULL;
        ALTER TABLE reconciliations ALTER COLUMN theirs SET NOT NULL
    """)
