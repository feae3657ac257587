"""Keep sums of sealed days by organization and day, and by project and month, for charts of years.

A trigger adds each statement's new days; fleetmeter_summarize sums a range anew, here for the days that are
sealed already and in retention for those that go.
"""

from alembic import op

revision = "sum1234567a"
down_revision = "inc27112026a"
branch_labels = None
depends_on = None

COUNTERS = {
    "mqtt": ("mqtt_inbound", "mqtt_outbound", "mqtt_inbound_bytes", "mqtt_outbound_bytes"),
    "platform_db": (
        *("logs", "sessions", "api_calls", "deployments", "docker_upload_bytes"),
        *("docker_download_bytes", "data_transfer_bytes"),
    ),
}
# In the order of the tables' columns.
COUNTER_NAMES = (
    *("logs", "sessions", "mqtt_inbound", "mqtt_outbound", "mqtt_inbound_bytes", "mqtt_outbound_bytes"),
    *("api_calls", "deployments", "docker_upload_bytes", "docker_download_bytes", "data_transfer_bytes"),
)
GAUGE_NAMES = (
    *("s3_storage_bytes", "docker_storage_bytes", "logs_storage_bytes", "storage_bytes"),
    *("device_count", "active_device_count", "ecr_image_count"),
)
QUALITY = tuple(f"{source}_{what}" for source in COUNTERS for what in ("known", "partial"))
CARRIED = ("s3_carried", "ecr_carried", "storage_carried")
METERS = ("meters", "largest_meters")


STATES = ", ".join(
    f"coalesce(x.coverage->'{source}'->>'state', 'missing') AS {source}_state"
    for source in ("mqtt", "platform_db", "s3", "ecr")
)


def known(source: str) -> str:
    return f"d.{source}_state NOT IN ('missing', 'not_configured', 'not_started')"


def counted(condition: str) -> str:
    return f"count(*) FILTER (WHERE {condition})"


def carried(source: str) -> str:
    return f"d.{source}_state IN ('carried', 'denied', 'failed')"


SOURCE_OF = {name: source for source, names in COUNTERS.items() for name in names}
MOST = 2**63 - 1  # what a bigint holds; a sum beyond it is kept as that


def bounded(total: str) -> str:
    return f"least({total}, {MOST})::bigint"


SUM = {
    name: bounded(f"coalesce(sum(d.{name}) FILTER (WHERE {known(SOURCE_OF[name])}), 0)")
    for name in COUNTER_NAMES
}
COUNTED = {
    f"{source}_{what}": counted(condition)
    for source in COUNTERS
    for what, condition in (
        ("known", known(source)),
        ("partial", f"d.{source}_state = 'partial'"),
    )
}
LEVEL_COUNTS = {
    "s3_carried": counted(carried("s3")),
    "ecr_carried": counted(carried("ecr")),
    "storage_carried": counted(f"{carried('s3')} OR {carried('ecr')}"),
} | {f"known_{name}": f"count(d.{name})" for name in GAUGE_NAMES}
LEVELS = {name: bounded(f"coalesce(sum(d.{name}), 0)") for name in GAUGE_NAMES}
OWN = {
    "meters": "coalesce(fleetmeter_sum_meters(d.meters) FILTER (WHERE d.meters <> '{}'), '{}')",
    "largest_meters": "coalesce(fleetmeter_max_meters(d.meters) FILTER (WHERE d.meters <> '{}'), '{}')",
}
OF_DAYS = {"projects": "count(*)"} | COUNTED | LEVEL_COUNTS | SUM | LEVELS | OWN
OF_MONTHS = {"days": "count(*)"} | COUNTED | SUM | OWN


def added(name: str) -> str:
    if name in SUM or name in LEVELS:
        return bounded(f"t.{name}::numeric + excluded.{name}")
    return f"t.{name} + excluded.{name}"


def summed(table: str, keys: dict[str, str], values: dict[str, str], rows: str) -> str:
    """Insert the sums of `rows`, daily_stats as x, or add them to those that are there."""
    merged = [f"{name} = {added(name)}" for name in values if name not in METERS]
    merged += [
        "meters = fleetmeter_add_meters(t.meters, excluded.meters)",
        "largest_meters = fleetmeter_larger_meters(t.largest_meters, excluded.largest_meters)",
    ]
    return f"""
    INSERT INTO {table} AS t ({", ".join([*keys, *values])})
    SELECT {", ".join([*keys.values(), *values.values()])}
    FROM (SELECT x.*, {STATES} FROM {rows} OFFSET 0) d
    GROUP BY {", ".join(keys.values())} ORDER BY {", ".join(keys.values())}
    ON CONFLICT ({", ".join(keys)}) DO UPDATE SET {", ".join(merged)};"""


def both(rows: str) -> str:
    """Summaries of days first, in the order of their keys: whoever seals at the same time does so too."""
    by_day = {"date": "d.date", "organization_id": "d.organization_id", "tier": "d.tier"}
    by_month = {
        "month": "date_trunc('month', d.date)::date",
        "project_id": "d.project_id",
        "organization_id": "d.organization_id",
        "tier": "d.tier",
    }
    return summed("organization_days", by_day, OF_DAYS, rows) + summed(
        "project_months", by_month, OF_MONTHS, rows
    )


def integers(names: tuple[str, ...]) -> str:
    return "".join(f"    {name} INTEGER DEFAULT 0 NOT NULL,\n" for name in names)


def totals(names: tuple[str, ...]) -> str:
    return "".join(f"    {name} BIGINT DEFAULT 0 NOT NULL,\n" for name in names)


OWN_COLUMNS = """    meters JSONB DEFAULT '{}' NOT NULL,
    largest_meters JSONB DEFAULT '{}' NOT NULL,
"""
# Columns of a fixed width first: the others are reached by way of all before them.
TABLES = f"""
CREATE TABLE organization_days (
    organization_id BIGINT NOT NULL,
    date DATE NOT NULL,
{integers(("projects", *QUALITY, *CARRIED, *(f"known_{name}" for name in GAUGE_NAMES)))}{
    totals((*COUNTER_NAMES, *GAUGE_NAMES))
}    tier TEXT NOT NULL,
{OWN_COLUMNS}
    CONSTRAINT organization_days_pkey PRIMARY KEY (date, organization_id, tier),
    CONSTRAINT organization_days_organization_id_fkey FOREIGN KEY(organization_id)
        REFERENCES organizations (id)
);
CREATE INDEX organization_days_organization_id_date_idx ON organization_days (organization_id, date);

CREATE TABLE project_months (
    project_id BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    month DATE NOT NULL,
{integers(("days", *QUALITY))}{totals(COUNTER_NAMES)}    tier TEXT NOT NULL,
{OWN_COLUMNS}
    CONSTRAINT project_months_pkey PRIMARY KEY (month, project_id, organization_id, tier),
    CONSTRAINT project_months_project_id_fkey FOREIGN KEY(project_id) REFERENCES projects (id),
    CONSTRAINT project_months_organization_id_fkey FOREIGN KEY(organization_id)
        REFERENCES organizations (id)
);
CREATE INDEX project_months_organization_id_month_idx ON project_months (organization_id, month);
"""

# Values of a meter of the platform's own, of two rows: added, and the larger one.
MERGE = """
CREATE FUNCTION {schema}.fleetmeter_{name}_meters(a jsonb, b jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
    SELECT CASE WHEN b = '{}' THEN a WHEN a = '{}' THEN b ELSE (
        SELECT jsonb_object_agg(key, value) FROM (
            SELECT key, {way}(value::numeric) AS value FROM (
                SELECT * FROM jsonb_each_text(a) UNION ALL SELECT * FROM jsonb_each_text(b)) every
            GROUP BY key) merged) END
$body$;
CREATE AGGREGATE {schema}.fleetmeter_{way}_meters (jsonb) (
    SFUNC = {schema}.fleetmeter_{name}_meters, STYPE = jsonb, INITCOND = '{}',
    COMBINEFUNC = {schema}.fleetmeter_{name}_meters, PARALLEL = SAFE);
"""

TRIGGER = f"""
CREATE FUNCTION {{schema}}.fleetmeter_summarize_new() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {{schema}}, pg_temp AS $body$
BEGIN
    {both("new_days x")}
    RETURN NULL;
END $body$;
CREATE TRIGGER daily_stats_summarized AFTER INSERT ON {{schema}}.daily_stats
    REFERENCING NEW TABLE AS new_days FOR EACH STATEMENT
    EXECUTE FUNCTION {{schema}}.fleetmeter_summarize_new();
"""

# Nobody adds to the sums meanwhile: a day that is sealed at the same time is in the rows, or added after.
SUMMARIZE = f"""
CREATE FUNCTION {{schema}}.fleetmeter_summarize(first_month date, until_month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {{schema}}, pg_temp AS $body$
DECLARE
    since date = date_trunc('month', first_month)::date;
    until date = date_trunc('month', until_month)::date;
BEGIN
    LOCK TABLE organization_days, project_months IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM organization_days d WHERE d.date >= since AND d.date < until;
    DELETE FROM project_months m WHERE m.month >= since AND m.month < until;
    {both("daily_stats x WHERE x.date >= since AND x.date < until")}
END $body$;
REVOKE ALL ON FUNCTION {{schema}}.fleetmeter_summarize(date, date) FROM PUBLIC;
REVOKE ALL ON FUNCTION {{schema}}.fleetmeter_summarize_new() FROM PUBLIC;
"""

# Month by month: each is one sort in memory.
FILL = """
DO $body$
DECLARE
    month date;
BEGIN
    FOR month IN SELECT generate_series(date_trunc('month', min(date)), max(date), '1 month')::date
        FROM daily_stats
    LOOP
        PERFORM fleetmeter_summarize(month, (month + interval '1 month')::date);
    END LOOP;
END $body$
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
END = "    RETURN NEXT;\nEND"
END_SUMMARIZED = f"""    IF removed > 0 AND parent = 'daily_stats' THEN
        PERFORM fleetmeter_summarize(first, after);
    END IF;
{END}"""
OF_ORGANIZATION = "organization_id = ANY ((SELECT fleetmeter_scope())::bigint[])"


def upgrade() -> None:
    op.execute(TABLES)
    schema = str(op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar())
    for name, way in (("add", "sum"), ("larger", "max")):
        merge = MERGE.replace("{name}", name).replace("{way}", way)
        op.execute(merge.replace("{schema}", schema))
    for statement in (TRIGGER, SUMMARIZE):
        op.execute(statement.replace("{schema}", schema))
    op.execute(FILL)
    for table in ("organization_days", "project_months"):
        op.execute(f"SELECT fleetmeter_protect('{table}', $visible${OF_ORGANIZATION}$visible$)")
    op.execute(RETENTION.format(old=END, new=END_SUMMARIZED))


def downgrade() -> None:
    op.execute(RETENTION.format(old=END_SUMMARIZED, new=END))
    op.execute("""
        DROP TRIGGER daily_stats_summarized ON daily_stats;
        DROP FUNCTION fleetmeter_summarize_new, fleetmeter_summarize;
        DROP TABLE project_months, organization_days;
        DROP AGGREGATE fleetmeter_sum_meters (jsonb), fleetmeter_max_meters (jsonb);
        DROP FUNCTION fleetmeter_add_meters, fleetmeter_larger_meters""")
