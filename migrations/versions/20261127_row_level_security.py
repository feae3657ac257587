"""Let PostgreSQL keep organizations apart: row-level security on every table of ours.

A session that sets `fleetmeter.organizations` to an array of ids, such as '{7,12}', sees the rows of those
organizations and writes nothing; without the setting, or with '*', it sees everything. Functions name the
platform's tables in their text only: a policy that named them would keep the platform from altering them.
"""

from alembic import op

revision = "s4567890123o"
down_revision = "r3456789012n"
branch_labels = None
depends_on = None

# Policies ask `(SELECT fleetmeter_unscoped()) IS NOT NULL`: evaluated once a statement, and estimated by the
# planner as true for nearly every row, so that it plans as it did without policies.
FUNCTIONS = """
CREATE FUNCTION fleetmeter_scope() RETURNS bigint[]
LANGUAGE sql STABLE PARALLEL SAFE AS $body$
    SELECT CASE WHEN pg_catalog.current_setting('fleetmeter.organizations', true) NOT IN ('', '*')
        THEN pg_catalog.current_setting('fleetmeter.organizations', true)::bigint[] END
$body$;

CREATE FUNCTION fleetmeter_unscoped() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $body$
    SELECT CASE WHEN coalesce(pg_catalog.current_setting('fleetmeter.organizations', true), '') IN ('', '*')
        THEN true END
$body$;

CREATE FUNCTION fleetmeter_staff(name text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $body$
    SELECT CASE WHEN fleetmeter_unscoped() OR name IS NULL THEN name ELSE 'the platform' END
$body$;

CREATE FUNCTION fleetmeter_protect(name text, visible text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $body$
BEGIN
    EXECUTE format('ALTER TABLE %1$I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY fleetmeter_everything ON %I'
        ' USING ((SELECT fleetmeter_unscoped()) IS NOT NULL)', name);
    IF visible IS NOT NULL THEN
        EXECUTE format('CREATE POLICY fleetmeter_organization ON %I FOR SELECT USING (%s)', name, visible);
    END IF;
END $body$;
"""

# Names with their schemas: pg_dump evaluates policies under an empty search_path.
OWN_PROJECTS = """
DO $do$
BEGIN
    EXECUTE format($function$
        CREATE FUNCTION fleetmeter_own_projects() RETURNS SETOF bigint
        LANGUAGE sql STABLE PARALLEL SAFE AS $body$
            SELECT id FROM %s WHERE organization_id = ANY ((SELECT %I.fleetmeter_scope())::bigint[])
        $body$ $function$,
        (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = 'projects'::regclass),
        current_schema());
END $do$
"""

OF_ORGANIZATION = "organization_id = ANY ((SELECT fleetmeter_scope())::bigint[])"
OF_PROJECT = "project_id IN (SELECT fleetmeter_own_projects())"

# What an organization sees of each table; None: nothing.
VISIBLE = {
    "usage_hourly": OF_PROJECT,
    "project_stats": OF_PROJECT,
    "daily_stats": OF_ORGANIZATION,
    "monthly_stats": OF_ORGANIZATION,
    "adjustments": OF_PROJECT,
    "alerts": OF_PROJECT,
    "log_levels": OF_PROJECT,
    "tiers_seen": OF_ORGANIZATION,
    "plan_versions": "hash IN (SELECT plan_version FROM monthly_stats)",
    "gaps": "project_ids IS NULL OR project_ids <@ ARRAY(SELECT fleetmeter_own_projects())",
    "audit_log": "action = 'install'",
    "mqtt_sessions": "true",
    "alert_notices": None,
    "broker_samples": None,
    "job_runs": None,
    "reconciliations": None,
    "unattributed_messages": None,
    "workers": None,
}

# A gap of several organizations' projects, reduced to those of the session's: its row is hidden from each.
# The function lifts the limit for one query. A SET clause would do that, but needs a superuser.
GAPS = """
CREATE FUNCTION fleetmeter_gaps(scope bigint[] DEFAULT fleetmeter_scope())
RETURNS TABLE (id bigint, source text, starts_at timestamptz, ends_at timestamptz, reason text,
    project_ids bigint[], created_at timestamptz, covered_at timestamptz, accepted_by text,
    accepted_at timestamptz, accepted_reason text)
LANGUAGE plpgsql STABLE AS $body$
DECLARE
    before text = coalesce(current_setting('fleetmeter.organizations', true), '');
BEGIN
    PERFORM set_config('fleetmeter.organizations', '*', true);
    RETURN QUERY SELECT g.id, g.source, g.starts_at, g.ends_at, g.reason,
        CASE WHEN scope IS NULL OR g.project_ids IS NULL THEN g.project_ids ELSE own.ids END,
        g.created_at, g.covered_at,
        CASE WHEN scope IS NULL OR g.accepted_by IS NULL THEN g.accepted_by ELSE 'the platform' END,
        g.accepted_at,
        CASE WHEN scope IS NULL OR g.accepted_by IS NULL THEN g.accepted_reason
            ELSE 'for a reason that it keeps' END
    FROM gaps g CROSS JOIN LATERAL (SELECT ARRAY(
        SELECT p.id FROM projects p WHERE p.organization_id = ANY (scope) AND p.id = ANY (g.project_ids)
        ORDER BY p.id) AS ids) own
    WHERE scope IS NULL OR g.project_ids IS NULL OR cardinality(own.ids) > 0;
    PERFORM set_config('fleetmeter.organizations', before, true);
END $body$
"""

# As in the ledger's revision, and with a policy of its own: the parent's does not bind whoever names a
# partition. An organization's session sees nothing there.
ENSURE_PARTITION = """
CREATE OR REPLACE FUNCTION fleetmeter_ensure_partition(parent text, day date) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
    first date = date_trunc('month', day)::date;
    child text = parent || to_char(first, '"_"YYYY"_"MM');
BEGIN
    IF to_regclass(child) IS NOT NULL THEN RETURN; END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('fleetmeter partition ' || parent, 0));
    IF to_regclass(child) IS NOT NULL THEN RETURN; END IF;
    EXECUTE format(
        'CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)'
        ' WITH (fillfactor = 80)', child, parent);
    {protect}
    IF parent = 'daily_stats' THEN
        PERFORM fleetmeter_seal_table(child, false);
    END IF;
    EXECUTE format(
        'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child,
        first::text || CASE parent WHEN 'usage_hourly' THEN ' 00:00+00' ELSE '' END,
        (first + interval '1 month')::date::text
            || CASE parent WHEN 'usage_hourly' THEN ' 00:00+00' ELSE '' END);
    IF parent = 'daily_stats' THEN
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER daily_stats_sealed', child);
    END IF;
EXCEPTION WHEN check_violation OR duplicate_table THEN
    -- Rows of this month already stand in the default partition: they are as safe there. Or another
    -- process has just made it: what to_regclass knows may be older than the lock.
    RETURN;
END $body$
"""
PARTITIONS = """
SELECT i.inhrelid::regclass::text FROM pg_inherits i
WHERE i.inhparent IN (to_regclass('usage_hourly'), to_regclass('daily_stats'))
"""

# fleetmeter_month_status as it was, but over the session's own projects and gaps.
MONTH_STATUS = """
DO $body$
DECLARE
    text text = pg_get_functiondef('fleetmeter_month_status(date, timestamptz)'::regprocedure);
BEGIN
    IF position('{projects}' IN text) = 0 OR position('{gaps}' IN text) = 0 THEN
        RAISE EXCEPTION 'fleetmeter_month_status reads projects and gaps in another way';
    END IF;
    EXECUTE replace(replace(text, '{projects}', '{own_projects}'), '{gaps}', '{own_gaps}');
END $body$
"""
WHOLE = {"projects": "FROM projects p\n    )", "gaps": "FROM gaps g WHERE"}
OWN = {
    "projects": "FROM projects p WHERE (SELECT fleetmeter_unscoped()) IS NOT NULL\n"
    "            OR p.organization_id = ANY ((SELECT fleetmeter_scope())::bigint[])\n    )",
    "gaps": "FROM fleetmeter_gaps() g WHERE",
}


def upgrade() -> None:
    op.execute(FUNCTIONS)
    op.execute(OWN_PROJECTS)
    op.execute(GAPS)
    for table, visible in VISIBLE.items():
        condition = "NULL" if visible is None else f"$visible${visible}$visible$"
        op.execute(f"SELECT fleetmeter_protect('{table}', {condition})")
    op.execute(f"SELECT fleetmeter_protect(name) FROM ({PARTITIONS}) AS partitions (name)")
    op.execute(ENSURE_PARTITION.format(protect="PERFORM fleetmeter_protect(child);"))
    _month_status(WHOLE, OWN)


def downgrade() -> None:
    _month_status(OWN, WHOLE)
    op.execute(ENSURE_PARTITION.format(protect=""))
    op.execute("""
        DO $body$
        DECLARE name text;
        BEGIN
            FOR name IN SELECT polrelid::regclass::text FROM pg_policy
                    WHERE polname = 'fleetmeter_everything' LOOP
                EXECUTE format('DROP POLICY fleetmeter_everything ON %s', name);
                EXECUTE format('DROP POLICY IF EXISTS fleetmeter_organization ON %s', name);
                EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY,'
                    ' DISABLE ROW LEVEL SECURITY', name);
            END LOOP;
        END $body$""")
    op.execute("""
        DROP FUNCTION fleetmeter_gaps, fleetmeter_protect, fleetmeter_staff, fleetmeter_own_projects,
            fleetmeter_unscoped, fleetmeter_scope""")


def _month_status(before: dict[str, str], after: dict[str, str]) -> None:
    op.execute(MONTH_STATUS.format(**before, own_projects=after["projects"], own_gaps=after["gaps"]))
