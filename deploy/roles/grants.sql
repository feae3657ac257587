-- Roles of Fleetmeter, second part: after each `fleetmeter migrate`. May be run any number of times.
-- The first part, owner.sql, says how.
\set ON_ERROR_STOP on
\if :{?schema}
\else
\set schema public
\endif
BEGIN;
SET LOCAL search_path TO :"schema";

DO $body$
DECLARE
    item record;
BEGIN
    IF to_regclass('fleetmeter_version') IS NULL THEN
        RAISE EXCEPTION 'schema % holds no Fleetmeter; run owner.sql, then fleetmeter migrate', current_schema();
    END IF;
    -- Rows of a sealed table are written once, those of the ledger never deleted: retention is a function.
    FOR item IN
        SELECT c.oid::regclass AS name, CASE
            WHEN c.relispartition OR c.relname IN ('fleetmeter_version', 'organization_days', 'tier_days',
                'project_months') THEN NULL
            WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = c.relname || '_sealed')
                THEN 'INSERT'
            WHEN c.relname IN ('usage_hourly', 'project_stats', 'gaps', 'reconciliations', 'catalogue_readings',
                'organization_tiers', 'project_owners', 'unattributed_messages', 'mqtt_sessions') THEN 'INSERT, UPDATE'
            ELSE 'INSERT, UPDATE, DELETE' END AS writing
        FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
            AND c.relowner = 'fleetmeter_owner'::regrole
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM PUBLIC, fleetmeter_writer, fleetmeter_reader', item.name);
        EXECUTE format('GRANT SELECT ON %s TO fleetmeter_writer, fleetmeter_reader', item.name);
        IF item.writing IS NOT NULL THEN
            EXECUTE format('GRANT %s ON %s TO fleetmeter_writer', item.writing, item.name);
        END IF;
    END LOOP;
END $body$;

-- Of the platform's tables both read these columns. `migrate` may have made the tables: then all is the owner's.
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
        GROUP BY a.attrelid
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM fleetmeter_writer, fleetmeter_reader', item.name);
        EXECUTE format('GRANT SELECT (%s) ON %s TO fleetmeter_writer, fleetmeter_reader', item.readable, item.name);
    END LOOP;
END $body$;

-- Partitions and retention run as the owner. `restore --rows` sets the counter of adjustments behind its rows.
GRANT EXECUTE ON FUNCTION fleetmeter_ensure_partition(text, date),
    fleetmeter_retention(text, date, bigint[], text) TO fleetmeter_writer;
GRANT USAGE, UPDATE ON SEQUENCE adjustments_id_seq TO fleetmeter_writer;

-- Who may create in this schema could put a function of his own before one of ours.
DO $body$
BEGIN
    IF has_schema_privilege('fleetmeter_writer', current_schema(), 'CREATE') THEN
        RAISE WARNING 'fleetmeter_writer may create objects in schema %: REVOKE CREATE ON SCHEMA % FROM PUBLIC',
            current_schema(), current_schema();
    END IF;
END $body$;
COMMIT;
