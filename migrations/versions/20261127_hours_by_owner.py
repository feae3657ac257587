"""Show an organization the hours of a project in which it was the owner, whoever owns it now.

Each row of `project_owners` gets its own bounds, so that an organization's session, which sees its own
rows only, needs no other's. A trigger keeps them: readings come in order of time.
"""

from alembic import op

revision = "w8901234567s"
down_revision = "bind01writer"
branch_labels = None
depends_on = None

BOUNDS = """
ALTER TABLE project_owners
    ADD COLUMN owned_from timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN owned_until timestamptz NOT NULL DEFAULT 'infinity';
UPDATE project_owners w SET owned_from = b.owned_from, owned_until = b.owned_until FROM (
    SELECT project_id, read_from,
        CASE WHEN lag(read_from) OVER periods IS NULL THEN '-infinity' ELSE read_from END AS owned_from,
        coalesce(lead(read_from) OVER periods, 'infinity') AS owned_until
    FROM project_owners WINDOW periods AS (PARTITION BY project_id ORDER BY read_from)) b
WHERE (b.project_id, b.read_from) = (w.project_id, w.read_from);

CREATE FUNCTION fleetmeter_bound_owner() RETURNS trigger
LANGUAGE plpgsql AS $body$
BEGIN
    UPDATE project_owners SET owned_until = NEW.read_from
        WHERE project_id = NEW.project_id AND read_from < NEW.read_from AND owned_until > NEW.read_from;
    IF FOUND THEN NEW.owned_from = NEW.read_from; END IF;
    RETURN NEW;
END $body$;
CREATE TRIGGER project_owners_bounds BEFORE INSERT ON project_owners
    FOR EACH ROW EXECUTE FUNCTION fleetmeter_bound_owner();
"""

# The owner at the hour's end, as for a day. A project that was never read has no history: its owner's.
OWN_HOURS = """
EXISTS (SELECT FROM project_owners w WHERE w.project_id = usage_hourly.project_id
    AND w.owned_from < usage_hourly.hour + interval '1 hour'
    AND w.owned_until >= usage_hourly.hour + interval '1 hour')
OR (project_id IN (SELECT fleetmeter_own_projects())
    AND NOT EXISTS (SELECT FROM project_owners w WHERE w.project_id = usage_hourly.project_id))
"""
OF_ORGANIZATION = "organization_id = ANY ((SELECT fleetmeter_scope())::bigint[])"
OF_PROJECT = "project_id IN (SELECT fleetmeter_own_projects())"


def upgrade() -> None:
    op.execute(BOUNDS)
    op.execute(f"ALTER POLICY fleetmeter_organization ON project_owners USING ({OF_ORGANIZATION})")
    op.execute(f"ALTER POLICY fleetmeter_organization ON usage_hourly USING ({OWN_HOURS})")


def downgrade() -> None:
    op.execute(f"ALTER POLICY fleetmeter_organization ON usage_hourly USING ({OF_PROJECT})")
    op.execute(
        f"ALTER POLICY fleetmeter_organization ON project_owners USING ({OF_PROJECT} OR {OF_ORGANIZATION})"
    )
    op.execute("""
        DROP TRIGGER project_owners_bounds ON project_owners;
        DROP FUNCTION fleetmeter_bound_owner;
        ALTER TABLE project_owners DROP COLUMN owned_from, DROP COLUMN owned_until""")
