"""Keep the readings of tiers, owners and pauses: a past period is described by what was known of it."""

from alembic import op

revision = "t5678901234p"
down_revision = "5b8d3e2f9a10"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE catalogue_readings (
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT catalogue_readings_pkey PRIMARY KEY (at)
);
CREATE TABLE organization_tiers (
    organization_id BIGINT NOT NULL,
    read_from TIMESTAMP WITH TIME ZONE NOT NULL,
    tier TEXT NOT NULL,
    CONSTRAINT organization_tiers_pkey PRIMARY KEY (organization_id, read_from)
);
CREATE TABLE project_owners (
    project_id BIGINT NOT NULL,
    read_from TIMESTAMP WITH TIME ZONE NOT NULL,
    organization_id BIGINT NOT NULL,
    CONSTRAINT project_owners_pkey PRIMARY KEY (project_id, read_from)
);
CREATE INDEX project_owners_organization_id_idx ON project_owners (organization_id);
CREATE TABLE project_pauses (
    project_id BIGINT NOT NULL,
    starts_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ends_at TIMESTAMP WITH TIME ZONE,
    off_from DATE NOT NULL,
    off_until DATE,
    deactivated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT project_pauses_pkey PRIMARY KEY (project_id, starts_at)
);
"""

# What earlier versions knew: tiers as they were seen; a sealed day's owner, as read at its start; and
# a project that is off, from its date or otherwise from its last usage.
KNOWN = """
INSERT INTO catalogue_readings (at) SELECT max(seen_until) FROM tiers_seen HAVING count(*) > 0;
INSERT INTO organization_tiers (organization_id, read_from, tier)
    SELECT organization_id, seen_from, tier FROM tiers_seen;
INSERT INTO project_owners (project_id, read_from, organization_id)
    SELECT project_id, date::timestamp AT TIME ZONE 'UTC', organization_id FROM (
        SELECT project_id, date, organization_id,
            lag(organization_id) OVER (PARTITION BY project_id ORDER BY date) AS before
        FROM daily_stats) d
    WHERE organization_id IS DISTINCT FROM before;
INSERT INTO project_pauses (project_id, starts_at, off_from, deactivated_at)
    SELECT id, starts_at,
        ((starts_at AT TIME ZONE 'UTC') + interval '1 day' - interval '1 microsecond')::date, deactivated_at
    FROM (
        SELECT p.id, p.deactivated_at, CASE WHEN isfinite(p.deactivated_at) THEN p.deactivated_at
            ELSE greatest(p.created_at, u.until) END AS starts_at
        FROM projects p CROSS JOIN LATERAL (
            SELECT max(hour) + interval '1 hour' AS until FROM usage_hourly h WHERE h.project_id = p.id
            AND h.logs + h.sessions + h.mqtt_inbound + h.mqtt_outbound + h.mqtt_inbound_bytes
                + h.mqtt_outbound_bytes + h.api_calls + h.deployments + h.docker_upload_bytes
                + h.docker_download_bytes + h.data_transfer_bytes > 0) u
        WHERE NOT p.is_active) off;
DROP TABLE tiers_seen;
"""


OF_ORGANIZATION = "organization_id = ANY ((SELECT fleetmeter_scope())::bigint[])"
OF_PROJECT = "project_id IN (SELECT fleetmeter_own_projects())"

# What an organization's session sees of each table; None: nothing.
VISIBLE = {
    "catalogue_readings": None,
    "organization_tiers": OF_ORGANIZATION,
    "project_owners": f"{OF_PROJECT} OR {OF_ORGANIZATION}",
    "project_pauses": OF_PROJECT,
}


def upgrade() -> None:
    op.execute(TABLES)
    for table, visible in VISIBLE.items():
        condition = "NULL" if visible is None else f"$visible${visible}$visible$"
        op.execute(f"SELECT fleetmeter_protect('{table}', {condition})")
    op.execute(KNOWN)


def downgrade() -> None:
    op.execute("""
        CREATE TABLE tiers_seen (
            organization_id BIGINT NOT NULL,
            seen_from TIMESTAMP WITH TIME ZONE NOT NULL,
            seen_until TIMESTAMP WITH TIME ZONE NOT NULL,
            tier TEXT NOT NULL,
            CONSTRAINT tiers_seen_pkey PRIMARY KEY (organization_id, seen_from)
        ) WITH (fillfactor = 70);
        INSERT INTO tiers_seen (organization_id, seen_from, seen_until, tier)
            SELECT t.organization_id, t.read_from, coalesce((
                SELECT max(r.at) FROM catalogue_readings r WHERE r.at >= t.read_from AND r.at < coalesce((
                    SELECT min(l.read_from) FROM organization_tiers l
                    WHERE l.organization_id = t.organization_id AND l.read_from > t.read_from), 'infinity')),
                t.read_from), t.tier
            FROM organization_tiers t;
        DROP TABLE catalogue_readings, organization_tiers, project_owners, project_pauses""")
    op.execute(f"SELECT fleetmeter_protect('tiers_seen', $visible${OF_ORGANIZATION}$visible$)")
