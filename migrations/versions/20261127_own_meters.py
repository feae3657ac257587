"""Keep the meters of the platform's own and the events that reported their usage.

`usage_events` holds the events that were accepted over HTTP, so that none counts twice.
fleetmeter_meters() merges cells of `meters`: each meter in its own aggregation, zeros left out, or those
of one aggregation, `which`. fleetmeter_meters_less() subtracts sums, and leaves out the meters with max.
"""

from alembic import op

revision = "ownmeters01a"
down_revision = "api27112026a1"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE own_meters (
    name TEXT NOT NULL,
    unit TEXT NOT NULL,
    aggregation TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    declared_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT own_meters_pkey PRIMARY KEY (name),
    CONSTRAINT own_meters_aggregation_check CHECK (aggregation IN ('sum', 'max'))
);
CREATE TABLE usage_events (
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    project_id BIGINT NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT usage_events_pkey PRIMARY KEY (source, id)
);
CREATE INDEX usage_events_received_at_idx ON usage_events USING brin (received_at);
"""

# A cell that somebody rewrote may be anything: verify must be able to read it, and to say so.
MEMBERS = """jsonb_each(CASE jsonb_typeof(part) WHEN 'object' THEN part ELSE '{}' END) AS e (key, value)"""
NUMBER = "CASE jsonb_typeof(e.value) WHEN 'number' THEN CAST(e.value AS numeric) END"

FUNCTIONS = f"""
CREATE FUNCTION fleetmeter_meters(parts jsonb[], which text DEFAULT 'all') RETURNS jsonb
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $body$
    SELECT coalesce(jsonb_object_agg(t.name, t.quantity) FILTER (WHERE t.quantity <> 0), '{{}}') FROM (
        SELECT e.key AS name,
            CASE k.aggregation WHEN 'max' THEN max({NUMBER}) ELSE sum({NUMBER}) END AS quantity
        FROM unnest(parts) AS given (part) CROSS JOIN LATERAL {MEMBERS}
        LEFT JOIN own_meters k ON k.name = e.key
        WHERE which IN ('all', coalesce(k.aggregation, 'sum')) GROUP BY e.key, k.aggregation) t
$body$;

CREATE FUNCTION fleetmeter_meters_less(part jsonb, taken jsonb) RETURNS jsonb
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $body$
    SELECT coalesce(jsonb_object_agg(t.name, t.quantity) FILTER (WHERE t.quantity <> 0), '{{}}') FROM (
        SELECT e.key AS name, sum(CASE WHEN is_taken THEN -({NUMBER}) ELSE {NUMBER} END) AS quantity
        FROM (VALUES (part, false), (taken, true)) AS given (part, is_taken) CROSS JOIN LATERAL {MEMBERS}
        LEFT JOIN own_meters k ON k.name = e.key
        WHERE k.aggregation IS DISTINCT FROM 'max' GROUP BY e.key) t
$body$;
"""

# A project that has usage of such meters only is listed too, word for word where it looked at counters.
STATUS = "fleetmeter_month_status(date, timestamptz, bigint[])"
LIST_OWN_USAGE = f"""
DO $do$
DECLARE
    written text = pg_get_functiondef('{STATUS}'::regprocedure);
    changed text = regexp_replace(written, '(AND )(greatest\\(u\\.logs[^)]*\\) > 0)\\)',
        '\\1(\\2 OR u.meters <> ''{{}}''))');
BEGIN
    IF changed = written THEN RAISE EXCEPTION 'fleetmeter_month_status tells usage in another way'; END IF;
    EXECUTE changed;
END $do$
"""
LIST_COUNTERS_ONLY = f"""
DO $do$
BEGIN
    EXECUTE regexp_replace(pg_get_functiondef('{STATUS}'::regprocedure),
        'AND \\((greatest\\(u\\.logs[^)]*\\) > 0) OR u\\.meters <> ''{{}}''\\)\\)', 'AND \\1)');
END $do$
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute("SELECT fleetmeter_protect('own_meters', 'true')")
    op.execute("SELECT fleetmeter_protect('usage_events')")
    op.execute(FUNCTIONS)
    op.execute(LIST_OWN_USAGE)


def downgrade() -> None:
    op.execute(LIST_COUNTERS_ONLY)
    op.execute("DROP FUNCTION fleetmeter_meters_less, fleetmeter_meters")
    op.execute("DROP TABLE usage_events, own_meters")
