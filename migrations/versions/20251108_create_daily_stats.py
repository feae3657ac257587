"""Sealed days."""

from alembic import op

revision = "j8901234567h"
down_revision = "i7890123456g"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE daily_stats (
    project_id BIGINT NOT NULL,
    date DATE NOT NULL,
    organization_id BIGINT NOT NULL,
    year SMALLINT NOT NULL,
    month SMALLINT NOT NULL,
    day SMALLINT NOT NULL,
    logs BIGINT DEFAULT 0 NOT NULL,
    sessions BIGINT DEFAULT 0 NOT NULL,
    mqtt_inbound BIGINT DEFAULT 0 NOT NULL,
    mqtt_outbound BIGINT DEFAULT 0 NOT NULL,
    mqtt_inbound_bytes BIGINT DEFAULT 0 NOT NULL,
    mqtt_outbound_bytes BIGINT DEFAULT 0 NOT NULL,
    api_calls BIGINT DEFAULT 0 NOT NULL,
    deployments BIGINT DEFAULT 0 NOT NULL,
    docker_upload_bytes BIGINT DEFAULT 0 NOT NULL,
    docker_download_bytes BIGINT DEFAULT 0 NOT NULL,
    data_transfer_bytes BIGINT DEFAULT 0 NOT NULL,
    s3_storage_bytes BIGINT,
    docker_storage_bytes BIGINT,
    logs_storage_bytes BIGINT,
    storage_bytes BIGINT,
    device_count BIGINT,
    active_device_count BIGINT,
    ecr_image_count BIGINT,
    tier TEXT NOT NULL,
    coverage JSONB NOT NULL,
    row_hash TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT daily_stats_pkey PRIMARY KEY (project_id, date),
    CONSTRAINT daily_stats_project_id_fkey FOREIGN KEY(project_id) REFERENCES projects (id),
    CONSTRAINT daily_stats_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES
        organizations (id)
) PARTITION BY RANGE (date);
CREATE INDEX daily_stats_created_at_idx ON daily_stats USING brin (created_at);
CREATE INDEX daily_stats_date_idx ON daily_stats (date);
CREATE INDEX daily_stats_organization_id_date_idx ON daily_stats (organization_id, date);
CREATE INDEX daily_stats_incomplete_idx ON daily_stats (date) WHERE
    coverage @? '$.*.state ? (@ == "partial" || @ == "missing" || @ == "denied" || @ == "failed")';

CREATE TABLE daily_stats_default PARTITION OF daily_stats DEFAULT;
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute("SELECT fleetmeter_seal_table('daily_stats', true)")
    op.execute("SELECT fleetmeter_seal_table('daily_stats_default', false)")
    op.execute("ALTER TABLE daily_stats_default ENABLE ALWAYS TRIGGER daily_stats_sealed")


def downgrade() -> None:
    op.execute("DROP TABLE daily_stats")
