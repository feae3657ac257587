-- Roles of Fleetmeter, first part: before `fleetmeter migrate`. May be run any number of times.
--
--   psql -d DATABASE -f deploy/roles/owner.sql         [-v schema=SCHEMA, default public]
--   psql -d DATABASE -c '\password fleetmeter_owner'   likewise fleetmeter_writer, fleetmeter_reader
--   DATABASE_URL=postgresql://fleetmeter_owner:…@… fleetmeter migrate
--   psql -d DATABASE -f deploy/roles/grants.sql        [-v schema=SCHEMA]
--
-- Run both files as a superuser, or as an administrator who may create roles and owns the platform's tables.
--
--   fleetmeter_owner    owns Fleetmeter's tables and functions; used by `fleetmeter migrate` alone
--   fleetmeter_writer   counter, runner, console, api, and a backend that counts
--   fleetmeter_reader   dashboards, and every command and page that only reads
\set ON_ERROR_STOP on
\if :{?schema}
\else
\set schema public
\endif
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path TO :"schema";

DO $body$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['fleetmeter_owner', 'fleetmeter_writer', 'fleetmeter_reader'] LOOP
        IF to_regrole(name) IS NULL THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
        EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(), name);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), name);
        IF current_schema() <> 'public' THEN
            EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path TO %I', name, current_database(),
                current_schema());
        END IF;
    END LOOP;
    EXECUTE format('GRANT CREATE ON SCHEMA %I TO fleetmeter_owner', current_schema());
    -- An earlier version of this file made the writer a member of the owner.
    IF pg_has_role('fleetmeter_writer', 'fleetmeter_owner', 'MEMBER') THEN
        REVOKE fleetmeter_owner FROM fleetmeter_writer;
    END IF;
END $body$;

-- The owner reads these columns of the platform's tables, and refers to two tables by foreign keys.
DO $body$
DECLARE
    item record;
    columns constant jsonb = '{
        "organizations": ["id", "name", "tier", "created_at"],
        "users": ["id", "organization_id", "created_at"],
        "projects": ["id", "organization_id", "name", "is_active", "created_at", "deactivated_at"],
        "devices": ["id", "project_id", "name", "last_seen_at", "created_at"],
        "sessions": ["id", "project_id", "device_id", "created_at"],
        "logs": ["id", "project_id", "device_id", "size_bytes", "created_at"],
        "deployments": ["id", "project_id", "created_at"],
        "api_calls": ["id", "project_id", "created_at"],
        "data_transfers": ["id", "project_id", "kind", "bytes", "created_at"]}';
BEGIN
    FOR item IN
        SELECT a.attrelid::regclass AS name, string_agg(quote_ident(a.attname), ', ') AS readable
        FROM jsonb_each(columns) AS wanted (name, names)
        JOIN pg_attribute a ON a.attrelid = to_regclass(wanted.name) AND wanted.names ? a.attname
        WHERE pg_get_userbyid((SELECT relowner FROM pg_class WHERE oid = a.attrelid)) <> 'fleetmeter_owner'
        GROUP BY a.attrelid
    LOOP
        EXECUTE format('GRANT SELECT (%s) ON %s TO fleetmeter_owner', item.readable, item.name);
        IF item.name::text IN ('organizations', 'projects') THEN
            EXECUTE format('GRANT REFERENCES ON %s TO fleetmeter_owner', item.name);
        END IF;
    END LOOP;
END $body$;

-- What was migrated under another role goes to the owner. That role keeps no right to it: let the program
-- that used it log in as fleetmeter_writer.
DO $body$
DECLARE
    item record;
BEGIN
    IF to_regclass('fleetmeter_version') IS NULL THEN RETURN; END IF;
    FOR item IN
        SELECT c.oid::regclass AS name FROM pg_class c
        LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
        JOIN pg_class table_ ON table_.oid = coalesce(i.inhparent, c.oid)
        WHERE table_.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
            AND c.relowner <> 'fleetmeter_owner'::regrole AND (table_.relname = ANY (ARRAY[
                'adjustments', 'alert_notices', 'alerts', 'audit_log', 'broker_samples',
                'catalogue_readings', 'daily_stats', 'fleetmeter_version', 'gaps', 'history_to_bill',
                'installation', 'job_runs', 'log_levels', 'monthly_stats', 'mqtt_sessions',
                'organization_tiers', 'plan_versions', 'project_owners', 'project_pauses',
                'project_stats', 'reconciliations', 'sign_outs', 'tiers_seen', 'unattributed_messages',
                'usage_hourly', 'workers'])
                OR EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid AND polname = 'fleetmeter_everything'))
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO fleetmeter_owner', item.name);
    END LOOP;
    FOR item IN
        SELECT p.oid::regprocedure AS name FROM pg_proc p
        WHERE p.pronamespace = current_schema()::regnamespace AND starts_with(p.proname, 'fleetmeter_')
            AND p.proowner <> 'fleetmeter_owner'::regrole
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO fleetmeter_owner', item.name);
    END LOOP;
END $body$;
COMMIT;
