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
KEPT = """
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
    LOCK TABLE organization_days, project_months IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM organization_days d WHERE d.date >= since AND d.date < until;
    DELETE FROM project_months m WHERE m.month >= since AND m.month < until;
    {sums}
END $body$"""


def add(connection: Connection, *names: str) -> None:
    """Add the columns of these meters of the catalogue, and those of a source that has none yet.

    Their columns in `daily_stats` have to be there. What is sealed already has no usage of them.
    """
    there = set(connection.scalars(COLUMNS))
    for table, column, kind in _columns(names):
        if column not in there:
            connection.execute(text(f"ALTER TABLE {table} ADD {column} {kind} DEFAULT 0 NOT NULL"))
    _make(connection, set(connection.scalars(COLUMNS)))


def _columns(names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield table, column and type."""
    both = ("organization_days", "project_months")
    for source in COUNTER_SOURCES:
        yield from ((table, f"{source}_{what}", "INTEGER") for table in both for what in ("known", "partial"))
    yield from (("organization_days", f"{source}_carried", "INTEGER") for source in GAUGE_SOURCES)
    yield from ((table, c.name, "BIGINT") for table in both for c in COUNTERS if c.name in names)
    for gauge in GAUGES:
        if gauge.name in names:
            yield "organization_days", f"known_{gauge.name}", "INTEGER"
            yield "organization_days", gauge.name, "BIGINT"


def _make(connection: Connection, there: set[str]) -> None:
    schema = str(connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar())
    days = "daily_stats x WHERE x.date >= since AND x.date < until"
    for function, rows in ((KEPT, "new_days x"), (SUMMED_ANEW, days)):
        made = function.replace("{schema}", schema).replace("{sums}", _both(rows, there))
        connection.exec_driver_sql(made.replace("%", "%%"))


def _both(rows: str, there: set[str]) -> str:
    """Return SQL of the sums, days first and in the order of their keys: whoever seals beside does so too."""
    by_day = {"date": "d.date", "organization_id": "d.organization_id", "tier": "d.tier"}
    by_month = {"month": "date_trunc('month', d.date)::date", "project_id": "d.project_id"} | {
        name: by_day[name] for name in ("organization_id", "tier")
    }
    counters, levels = _counters(there), _levels(there)
    days = {"projects": "count(*)"} | counters | levels | OWN
    months = {"days": "count(*)"} | counters | OWN
    return _summed("organization_days", by_day, days, rows) + _summed(
        "project_months", by_month, months, rows
    )


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
        for what, condition in (("known", _known(source)), ("partial", f"d.{source}_state = 'partial'"))
    }
    return quality | {
        c.name: _bounded(f"coalesce(sum(d.{c.name}) FILTER (WHERE {_known(c.source)}), 0)")
        for c in COUNTERS
        if c.name in there
    }


def _levels(there: set[str]) -> dict[str, str]:
    earlier: dict[str, str] = {source: f"d.{source}_state IN {EARLIER}" for source in GAUGE_SOURCES}
    earlier["storage"] = " OR ".join(earlier.values())
    carried = {f"{source}_carried": f"count(*) FILTER (WHERE {old})" for source, old in earlier.items()}
    gauges = [gauge.name for gauge in GAUGES if gauge.name in there]
    known = {f"known_{name}": f"count(d.{name})" for name in gauges}
    return carried | known | {name: _bounded(f"coalesce(sum(d.{name}), 0)") for name in gauges}


def _known(source: str) -> str:
    return f"d.{source}_state NOT IN {BLIND}"


def _bounded(total: str) -> str:
    return f"least({total}, {MOST})::bigint"


def _added(name: str) -> str:
    is_total = name in (*COUNTER_NAMES, *GAUGE_NAMES)
    return _bounded(f"t.{name}::numeric + excluded.{name}") if is_total else f"t.{name} + excluded.{name}"
