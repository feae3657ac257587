"""Add a meter's columns to the summaries and make their functions anew, for the revision of that meter.

The functions name each column. They are made for the columns that are there: a meter of the catalogue whose
revision is still to come is left out.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, text

from metering.catalogue.meters import COUNTER_NAMES, COUNTERS, GAUGE_NAMES, GAUGES
from metering.catalogue.sources import COUNTER_SOURCES, GAUGE_SOURCES, quoted

MOST = 2**63 - 1  # what a bigint holds; a sum beyond it is kept as that
BLIND = quoted(("missing", "not_configured", "not_started"))
EARLIER = quoted(("carried", "denied", "failed"))
OWN = {
    "meters": "coalesce(fleetmeter_sum_meters(d.meters) FILTER (WHERE d.meters <> '{}'), '{}')",
    "largest_meters": "coalesce(fleetmeter_max_meters(d.meters) FILTER (WHERE d.meters <> '{}'), '{}')",
}
COLUMNS = text("""
    SELECT attname FROM pg_attribute
    WHERE attrelid = to_regclass('organization_days') AND attnum > 0 AND NOT attisdropped""")
BY_TIER = text("SELECT to_regclass('tier_days') IS NOT NULL")  # an older schema has no such table yet
SUMMARIZE_NEW = """
CREATE OR REPLACE FUNCTION fleetmeter_summarize_new() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $body$
BEGIN
    {sums}
    RETURN NULL;
END $body$"""
# Nobody adds to the sums meanwhile: a day that is sealed at the same time is in the rows, or added after.
SUMMED_ANEW = """
CREATE OR REPLACE FUNCTION fleetmeter_summarize(first_month date, until_month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $body$
DECLARE
    since date = date_trunc('month', first_month)::date;
    until date = date_trunc('month', until_month)::date;
BEGIN
    LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE;
    {deletes}
    {sums}
END $body$"""


def add(connection: Connection, *names: str) -> None:
    """Add the columns of these meters of the catalogue, and those of a source that has none yet.

    Their columns in `daily_stats` have to be there. What is sealed already has no usage of them.
    """
    there, tables = set(connection.scalars(COLUMNS)), _tables(connection)
    for table in tables:
        for column, kind in _columns(table, names):
            if column not in there:
                connection.execute(text(f"ALTER TABLE {table} ADD {column} {kind} DEFAULT 0 NOT NULL"))
    _make(connection, tables, set(connection.scalars(COLUMNS)))


def remove(connection: Connection, *names: str) -> None:
    """Remove the columns of these meters: the way back from `add`."""
    tables = _tables(connection)
    for table in tables:
        for column in (column for name in names for column in (name, f"known_{name}")):
            connection.execute(text(f"ALTER TABLE {table} DROP COLUMN IF EXISTS {column}"))
    _make(connection, tables, set(connection.scalars(COLUMNS)))


def _tables(connection: Connection) -> list[str]:
    """Return the tables of summaries in the order in which whoever seals writes them."""
    by_tier = ["tier_days"] if connection.scalar(BY_TIER) else []
    return ["organization_days", *by_tier, "project_months"]


def _columns(table: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield column and type; a month has no levels."""
    for source in COUNTER_SOURCES:
        yield from ((f"{source}_{what}", "INTEGER") for what in ("known", "partial"))
    yield from ((counter.name, "BIGINT") for counter in COUNTERS if counter.name in names)
    if table == "project_months":
        return
    yield from ((f"{source}_carried", "INTEGER") for source in GAUGE_SOURCES)
    for gauge in GAUGES:
        if gauge.name in names:
            yield f"known_{gauge.name}", "INTEGER"
            yield gauge.name, "BIGINT"


def _make(connection: Connection, tables: Sequence[str], there: set[str]) -> None:
    schema = str(connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar())
    days = "daily_stats x WHERE x.date >= since AND x.date < until"
    for function, rows in ((SUMMARIZE_NEW, "new_days x"), (SUMMED_ANEW, days)):
        words = {
            "schema": schema,
            "tables": ", ".join(tables),
            "deletes": "\n    ".join(_deletes(table) for table in tables),
            "sums": "".join(_sums(table, rows, there) for table in tables),
        }
        statement = function
        for name, value in words.items():
            statement = statement.replace("{" + name + "}", value)
        connection.exec_driver_sql(statement.replace("%", "%%"))


def _deletes(table: str) -> str:
    period = "month" if table == "project_months" else "date"
    return f"DELETE FROM {table} t WHERE t.{period} >= since AND t.{period} < until;"


def _sums(table: str, rows: str, there: set[str]) -> str:
    """Return SQL of one table's sums, in the order of its keys: whoever seals beside does so too."""
    if table == "project_months":
        month = {"month": "date_trunc('month', d.date)::date"}
        keys = month | {name: f"d.{name}" for name in ("project_id", "organization_id", "tier")}
        return _summed(table, keys, {"days": "count(*)"} | _counters(there) | OWN, rows)
    names = ("date", "tier") if table == "tier_days" else ("date", "organization_id", "tier")
    values = {"projects": "count(*)"} | _counters(there) | _levels(there) | OWN
    return _summed(table, {name: f"d.{name}" for name in names}, values, rows)


def _summed(table: str, keys: dict[str, str], values: dict[str, str], rows: str) -> str:
    """Return SQL that inserts the sums of `rows`, daily_stats as x, or adds them to those that are there."""
    states = ", ".join(
        f"coalesce(x.coverage->'{source}'->>'state', 'missing') AS {source}_state"
        for source in (*COUNTER_SOURCES, *GAUGE_SOURCES)
    )
    merged = [f"{name} = {_added(name)}" for name in values if name not in OWN]
    merged += [
        "meters = fleetmeter_add_meters(t.meters, excluded.meters)",
        "largest_meters = fleetmeter_larger_meters(t.largest_meters, excluded.largest_meters)",
    ]
    return f"""
    INSERT INTO {table} AS t ({", ".join([*keys, *values])})
    SELECT {", ".join([*keys.values(), *values.values()])}
    FROM (SELECT x.*, {states} FROM {rows} OFFSET 0) d
    GROUP BY {", ".join(keys.values())} ORDER BY {", ".join(keys.values())}
    ON CONFLICT ({", ".join(keys)}) DO UPDATE SET {", ".join(merged)};"""


def _counters(there: set[str]) -> dict[str, str]:
    quality = {
        f"{source}_{what}": f"count(*) FILTER (WHERE {condition})"
        for source in COUNTER_SOURCES
        for what, condition in (("known", _is_known(source)), ("partial", f"d.{source}_state = 'partial'"))
    }
    return quality | {
        c.name: _bounded(f"coalesce(sum(d.{c.name}) FILTER (WHERE {_is_known(c.source)}), 0)")
        for c in COUNTERS
        if c.name in there
    }


def _levels(there: set[str]) -> dict[str, str]:
    earlier: dict[str, str] = {source: f"d.{source}_state IN {EARLIER}" for source in GAUGE_SOURCES}
    earlier["storage"] = " OR ".join(earlier.values())
    carried = {f"{source}_carried": f"count(*) FILTER (WHERE {old})" for source, old in earlier.items()}
    gauges = [gauge.name for gauge in GAUGES if gauge.name in there]
    known_counts = {f"known_{name}": f"count(d.{name})" for name in gauges}
    return carried | known_counts | {name: _bounded(f"coalesce(sum(d.{name}), 0)") for name in gauges}


def _is_known(source: str) -> str:
    return f"d.{source}_state NOT IN {BLIND}"


def _bounded(total: str) -> str:
    return f"least({total}, {MOST})::bigint"


def _added(name: str) -> str:
    is_total = name in (*COUNTER_NAMES, *GAUGE_NAMES)
    return _bounded(f"t.{name}::numeric + excluded.{name}") if is_total else f"t.{name} + excluded.{name}"
