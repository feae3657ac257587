"""Refuse the writer a bill of a month that is not over, and the removal of a month that is not archived.

Retention gives up the days of closed months, and the writer may insert the bill that makes a month closed: a
bill of the running month in two steps removed days that nobody had billed. Who owns the tables is not bound,
as with every trigger.
"""

from alembic import op

revision = "pastmonths01"
down_revision = "openday12345"
branch_labels = None
depends_on = None

GUARD = """
CREATE FUNCTION {schema}.fleetmeter_guard_bill() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $body$
BEGIN
    IF NOT pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RAISE EXCEPTION 'INSERT of a bill of %-% refused: by the database''s clock that month is not over',
            NEW.year, lpad(NEW.month::text, 2, '0') USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $body$;
CREATE TRIGGER monthly_stats_guarded BEFORE INSERT ON {schema}.monthly_stats FOR EACH ROW
    WHEN ((make_date(NEW.year, NEW.month, 1) + interval '1 month') AT TIME ZONE 'UTC' > clock_timestamp())
    EXECUTE FUNCTION {schema}.fleetmeter_guard_bill();
ALTER TABLE {schema}.monthly_stats ENABLE ALWAYS TRIGGER monthly_stats_guarded;
"""

RETENTION = """
DO $do$
DECLARE
    made text = pg_get_functiondef('fleetmeter_retention(text, date, bigint[], text)'::regprocedure);
BEGIN
    IF position($old${old}$old$ IN made) = 0 THEN
        RAISE EXCEPTION 'fleetmeter_retention is not the one that Fleetmeter made';
    END IF;
    EXECUTE replace(made, $old${old}$old$, $new${new}$new$);
END
$do$
"""
CLOSED = "    EXECUTE format('SELECT count(*) FILTER (WHERE t.project_id = ANY($1)),'"
# session_user: inside this function the current user is always the owner.
OVER_AND_ARCHIVED = f"""    IF after::timestamp AT TIME ZONE 'UTC' > clock_timestamp()
        AND NOT pg_has_role(session_user,
            (SELECT relowner FROM pg_class WHERE oid = to_regclass('monthly_stats')), 'USAGE') THEN
        RAISE EXCEPTION '% is not over by the database''s clock: its rows stay', to_char(first, 'YYYY-MM')
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM audit_log a
        WHERE a.action = 'archive' AND a.subject = to_char(first, 'YYYY-MM')
            AND (a.after->>'bills')::bigint >= (SELECT count(*) FROM monthly_stats m
                WHERE m.year = extract(year FROM first) AND m.month = extract(month FROM first)))
    THEN
        RAISE EXCEPTION 'no archive holds every bill of %: its rows stay', to_char(first, 'YYYY-MM')
            USING ERRCODE = 'restrict_violation';
    END IF;
{CLOSED}"""


def upgrade() -> None:
    schema = str(op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar())
    op.execute(GUARD.replace("{schema}", schema))
    op.execute(RETENTION.format(old=CLOSED, new=OVER_AND_ARCHIVED))


def downgrade() -> None:
    op.execute(RETENTION.format(old=OVER_AND_ARCHIVED, new=CLOSED))
    op.execute("DROP TRIGGER monthly_stats_guarded ON monthly_stats")
    op.execute("DROP FUNCTION fleetmeter_guard_bill")
