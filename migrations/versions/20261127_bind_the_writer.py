"""Bind a writer that owns nothing: partitions and retention are functions that run as the owner."""

from alembic import op

revision = "bind01writer"
down_revision = "u6789012345q"
branch_labels = None
depends_on = None

# Each function has a fixed search_path, the schema of this migration, and pg_temp last: a temporary table
# of the caller's can take no table's place. `{schema}` is that schema, quoted.

# Sealed rows cannot be changed, whoever asks: the triggers fire for replicas and owners too. Only a
# day that the audit log, which nobody can change, already gives up to retention may be deleted.
REFUSE = """
CREATE OR REPLACE FUNCTION {schema}.fleetmeter_refuse() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $body$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME LIKE 'daily_stats%' THEN
        PERFORM FROM {schema}.audit_log a JOIN {schema}.monthly_stats m ON a.after->>'month'
                = format('%s-%s', m.year, lpad(m.month::text, 2, '0'))
            WHERE a.action = 'retention' AND a.subject = 'daily_stats'
            AND m.project_id = OLD.project_id AND m.year = OLD.year AND m.month = OLD.month;
        IF FOUND THEN RETURN OLD; END IF;
    END IF;
    RAISE EXCEPTION '% of % refused: its rows are sealed; post an adjustment instead',
        TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $body$
"""

# What decides about other rows: when Fleetmeter was installed, and which days retention gives up.
GUARD = """
CREATE FUNCTION {schema}.fleetmeter_guard_audit() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $body$
BEGIN
    IF NEW.action IN ('install', 'retention') AND NOT pg_has_role(current_user,
        (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RAISE EXCEPTION 'INSERT of a row "%" into audit_log refused: only Fleetmeter''s own functions '
            'write it', NEW.action USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $body$;
CREATE TRIGGER audit_log_guarded BEFORE INSERT ON {schema}.audit_log
    FOR EACH ROW EXECUTE FUNCTION {schema}.fleetmeter_guard_audit();
ALTER TABLE {schema}.audit_log ENABLE ALWAYS TRIGGER audit_log_guarded;
"""

SEAL_TABLE = """
CREATE OR REPLACE FUNCTION {schema}.fleetmeter_seal_table(name text, rows boolean) RETURNS void
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $body$
DECLARE
    target text = format('%I.%I', current_schema(), name);
    refuse text = format('%I.fleetmeter_refuse()', current_schema());
BEGIN
    IF rows THEN
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE ON %s'
            ' FOR EACH ROW EXECUTE FUNCTION %s', name || '_sealed', target, refuse);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', target, name || '_sealed');
    END IF;
    EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %s'
        ' FOR EACH STATEMENT EXECUTE FUNCTION %s', name || '_kept', target, refuse);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', target, name || '_kept');
END $body$
"""

# A partition is attached rather than created in place: ATTACH does not lock the parent against
# the counter's flushes. Triggers on TRUNCATE and policies are not inherited, so each partition gets its own.
ENSURE_PARTITION = """
CREATE OR REPLACE FUNCTION {schema}.fleetmeter_ensure_partition(parent text, day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $body$
DECLARE
    first date = date_trunc('month', day)::date;
    name text = parent || to_char(first, '"_"YYYY"_"MM');
    child text = format('%I.%I', current_schema(), name);
    whole text = format('%I.%I', current_schema(), parent);
    midnight text = CASE parent WHEN 'usage_hourly' THEN ' 00:00+00' ELSE '' END;
BEGIN
    IF parent NOT IN ('usage_hourly', 'daily_stats') THEN
        RAISE EXCEPTION '% has no partitions by month', parent USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF to_regclass(child) IS NOT NULL THEN RETURN; END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('fleetmeter partition ' || parent, 0));
    IF to_regclass(child) IS NOT NULL THEN RETURN; END IF;
    EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)'
        ' WITH (fillfactor = 80)', child, whole);
    PERFORM fleetmeter_protect(name);
    IF parent = 'daily_stats' THEN
        PERFORM fleetmeter_seal_table(name, false);
    END IF;
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', whole, child,
        first::text || midnight, (first + interval '1 month')::date::text || midnight);
    IF parent = 'daily_stats' THEN
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER daily_stats_sealed', child);
    END IF;
EXCEPTION WHEN check_violation OR duplicate_table THEN
    -- Rows of this month already stand in the default partition: they are as safe there. Or another
    -- process has just made it: what to_regclass knows may be older than the lock.
    RETURN;
END $body$
"""

# The audit row comes first, and says what this very call removes; the trigger on daily_stats reads it.
RETENTION = """
CREATE FUNCTION {schema}.fleetmeter_retention(parent text, day date, ids bigint[], actor text)
RETURNS TABLE (removed bigint, whole boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $body$
DECLARE
    first date = date_trunc('month', day)::date;
    after date = (date_trunc('month', day) + interval '1 month')::date;
    child text = format('%I.%I', current_schema(), parent || to_char(first, '"_"YYYY"_"MM'));
    since text = first || ' 00:00+00';
    until text = after || ' 00:00+00';
    inside text = CASE parent
        WHEN 'usage_hourly' THEN format('t.hour >= %L AND t.hour < %L', since, until)
        WHEN 'daily_stats' THEN format('t.date >= %L AND t.date < %L', first, after) END;
BEGIN
    IF inside IS NULL THEN
        RAISE EXCEPTION '% is kept for ever', parent USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (SELECT FROM unnest(ids) AS given (id) WHERE NOT EXISTS (
        SELECT FROM monthly_stats m WHERE m.project_id = given.id
            AND m.year = extract(year FROM first) AND m.month = extract(month FROM first)))
    THEN
        RAISE EXCEPTION '% is not closed for each of these projects: its rows stay', to_char(first, 'YYYY-MM')
            USING ERRCODE = 'restrict_violation';
    END IF;
    EXECUTE format('SELECT count(*) FILTER (WHERE t.project_id = ANY($1)),'
        ' coalesce(bool_and(t.project_id = ANY($1) AND t.tableoid = to_regclass(%L)), false)'
        ' FROM %I.%I t WHERE %s', child, current_schema(), parent, inside) INTO removed, whole USING ids;
    IF removed > 0 THEN
        INSERT INTO audit_log (actor, action, subject, after) VALUES (fleetmeter_retention.actor, 'retention',
            parent, jsonb_build_object('before', after, 'month', to_char(first, 'YYYY-MM'),
                'projects', cardinality(ids), 'rows', removed));
        IF whole THEN
            EXECUTE format('DROP TABLE %s', child);
        ELSE
            EXECUTE format('DELETE FROM %I.%I t WHERE %s AND t.project_id = ANY($1)',
                current_schema(), parent, inside) USING ids;
        END IF;
    END IF;
    RETURN NEXT;
END $body$
"""

OWNERS_ONLY = """
REVOKE ALL ON FUNCTION {schema}.fleetmeter_seal_table(text, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION {schema}.fleetmeter_ensure_partition(text, date) FROM PUBLIC;
REVOKE ALL ON FUNCTION {schema}.fleetmeter_retention(text, date, bigint[], text) FROM PUBLIC;
"""


def upgrade() -> None:
    schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar()
    for statement in (REFUSE, GUARD, SEAL_TABLE, ENSURE_PARTITION, RETENTION, OWNERS_ONLY):
        op.execute(statement.replace("{schema}", str(schema)))


def downgrade() -> None:
    op.execute("""
        DROP TRIGGER audit_log_guarded ON audit_log;
        DROP FUNCTION fleetmeter_guard_audit, fleetmeter_retention;
        ALTER FUNCTION fleetmeter_ensure_partition SECURITY INVOKER;
        GRANT EXECUTE ON FUNCTION fleetmeter_ensure_partition, fleetmeter_seal_table TO PUBLIC;
    """)
