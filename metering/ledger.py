"""The ledger: the only writer of usage_hourly and of project_stats' counters.

Counts arrive in two ways. Messages are *added* as they come (`add_mqtt`). What can be counted
again is *recounted*: staged outside the lock, then set hour by hour (`stage`, `apply_staged`).
Levels are *sampled* for the running hour (`record_gauges`). Nothing before `open_from` is written,
except by a backfill, in the transaction that seals those hours.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from metering import database, projects
from metering.meters import GAUGES, STORAGE_PARTS, Source, columns, counters_of, gauges_of
from metering.periods import Day, Hour, Month
from metering.projects import FIRST_OPEN, METERED_UNTIL

MQTT = ("mqtt_inbound", "mqtt_outbound", "mqtt_inbound_bytes", "mqtt_outbound_bytes")
SAMPLES_KEPT = 5  # sample topics for each hour and reason
SAMPLE_LENGTH = 200

Parts = Mapping[int, Mapping[str, Any]]  # project id -> place -> its levels, None where it was not read


class Counting(NamedTuple):
    """How a table is counted: `select` gives project_id, hour, and these counters in their order."""

    counters: tuple[str, ...]
    select: str


class MqttUsage(NamedTuple):
    """Messages and payload bytes of one topic prefix, with one of its topics as a sample."""

    inbound: int
    outbound: int
    inbound_bytes: int
    outbound_bytes: int
    topic: str


ADD_UNATTRIBUTED = f"""
    INSERT INTO unattributed_messages AS u (hour, reason, messages, sample_topics, updated_at)
    {{rows}}
    ON CONFLICT (hour, reason) DO UPDATE SET
        messages = u.messages + excluded.messages, updated_at = excluded.updated_at,
        sample_topics = (
            SELECT (array_agg(DISTINCT topic))[1 : {SAMPLES_KEPT}]
            FROM unnest(u.sample_topics || excluded.sample_topics) AS topic)"""

ADD_MQTT = text(f"""
    WITH given AS (
        SELECT * FROM unnest(
            CAST(:organizations AS bigint[]), CAST(:projects AS bigint[]),
            {columns("CAST(:{0} AS bigint[])", MQTT)}, CAST(:topics AS text[])
        ) AS g (organization_id, project_id, {columns("{0}", MQTT)}, topic)
    ), judged AS (
        SELECT g.*, {FIRST_OPEN} AS first_open, CASE
            WHEN p.id IS NULL THEN 'unknown_project'
            WHEN p.organization_id <> g.organization_id THEN 'organization_mismatch'
            WHEN {METERED_UNTIL} <= :at THEN 'project_inactive' END AS reason
        FROM given g LEFT JOIN projects p ON p.id = g.project_id
    ), stats AS (
        INSERT INTO project_stats AS s
            (project_id, {columns("{0}", MQTT)}, open_from, updated_at, mqtt_measured_at)
        SELECT project_id, {columns("{0}", MQTT)}, first_open, :at, :at
        FROM judged WHERE reason IS NULL ORDER BY project_id
        ON CONFLICT (project_id) DO UPDATE SET
            {columns("{0} = s.{0} + excluded.{0}", MQTT)},
            updated_at = :at, mqtt_measured_at = :at
        RETURNING project_id, open_from
    ), hours AS (
        INSERT INTO usage_hourly AS u (project_id, hour, {columns("{0}", MQTT)})
        SELECT project_id, greatest(:hour, open_from), {columns("{0}", MQTT)}
        FROM judged JOIN stats USING (project_id) WHERE reason IS NULL
        ON CONFLICT (project_id, hour) DO UPDATE SET {columns("{0} = u.{0} + excluded.{0}", MQTT)}
    )
    {
    ADD_UNATTRIBUTED.format(
        rows=f'''SELECT :hour, reason, sum(mqtt_inbound + mqtt_outbound),
            (array_agg(left(topic, {SAMPLE_LENGTH})))[1 : {SAMPLES_KEPT}], :at
        FROM judged WHERE reason IS NOT NULL GROUP BY reason ORDER BY reason'''
    )
}""")


def add_mqtt(connection: Connection, usage: Mapping[tuple[int, int], MqttUsage], at: datetime) -> None:
    """Add messages, keyed by (organization id, project id) as their topics say, at `at`.

    What matches no project is counted in unattributed_messages with its reason, never guessed.
    """
    if not usage:
        return
    *counts, topics = zip(*usage.values(), strict=True)
    organizations, ids = zip(*usage, strict=True)
    arrays = dict(zip((*MQTT, "organizations", "projects"), (*counts, organizations, ids), strict=True))
    parameters = {name: _numbers(values) for name, values in arrays.items()}
    connection.execute(
        ADD_MQTT,
        parameters
        | {"topics": _texts(topics), "at": at, "hour": Hour.of(at).start, "month_start": Month.of(at).start},
    )


# Arrays as PostgreSQL writes them: the driver's own way, an expression for each element, takes the
# client and the parser longer than the statement runs.
def _numbers(values: Iterable[int]) -> str:
    return f"{{{','.join(map(str, values))}}}"


def _texts(values: Iterable[str]) -> str:
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"


def add_unattributed(
    connection: Connection, reasons: Mapping[str, tuple[int, Sequence[str]]], at: datetime
) -> None:
    """Add messages that name no project at all: reason -> (messages, sample topics)."""
    statement = ADD_UNATTRIBUTED.format(rows="VALUES (:hour, :reason, :messages, :topics, :at)")
    for reason, (messages, topics) in sorted(reasons.items()):
        samples = [topic[:SAMPLE_LENGTH] for topic in topics[:SAMPLES_KEPT]]
        connection.execute(
            text(statement),
            {
                "hour": Hour.of(at).start,
                "reason": reason,
                "messages": messages,
                "topics": samples,
                "at": at,
            },
        )


def ensure_partitions(engine: Engine, at: datetime) -> None:
    """Make the partitions of this month and the next, in a transaction of their own."""
    with database.transaction(engine) as connection:
        for month in (Month.of(at), Month.of(at).next()):
            ensure_partition(connection, month)


def ensure_partition(connection: Connection, month: Month) -> None:
    """Make the partitions that `month` is written to; nothing when they are there."""
    for table in ("usage_hourly", "daily_stats"):
        connection.execute(
            text("SELECT fleetmeter_ensure_partition(:table, :day)"),
            {"table": table, "day": month.first.date},
        )


def stage(
    connection: Connection, source: Source, selects: Mapping[str, Counting], parameters: Mapping[str, Any]
) -> dict[str, str]:
    """Count `source` into a table of this session, one statement for each of its tables.

    Returns why a table could not be counted; what the others hold is counted all the same. Hold the
    advisory lock of the source from before this until the last `apply_staged`, or an older count may
    be applied over a newer one.
    """
    names = counters_of(source)
    connection.execute(text("DROP TABLE IF EXISTS staged_rows, staged_counts"))
    rows = columns("{0} bigint DEFAULT 0", names)
    connection.execute(text(f"CREATE TEMP TABLE staged_rows (project_id bigint, hour timestamptz, {rows})"))
    failed = {
        table: reason
        for table, counting in selects.items()
        if (reason := _stage_table(connection, counting, parameters))
    }
    sums = columns("sum({0})::bigint AS {0}", names)
    connection.execute(
        text(f"""
            CREATE TEMP TABLE staged_counts AS SELECT project_id, hour, {sums}
            FROM staged_rows GROUP BY project_id, hour""")
    )
    connection.execute(text("CREATE INDEX ON staged_counts (project_id, hour)"))
    connection.execute(text("ANALYZE staged_counts"))
    return failed


def _stage_table(connection: Connection, counting: Counting, parameters: Mapping[str, Any]) -> str:
    names = columns("{0}", counting.counters)
    try:
        with connection.begin_nested():
            insert = f"INSERT INTO staged_rows (project_id, hour, {names}) {counting.select}"
            connection.execute(text(insert), parameters)
    except DBAPIError as error:
        if not database.is_refused(error):
            raise
        return database.said(error)
    return ""


def keep_staged(connection: Connection, source: Source, start: datetime, end: datetime) -> None:
    """Let no staged count of `[start, end)` be less than what the ledger has.

    Rows that were counted may be gone since: pruned, or taken back, which the recount after the seal
    tells apart.
    """
    names = counters_of(source)
    bounds = {"start": start, "end": end}
    mine = "u.hour >= :start AND u.hour < :end AND c.project_id = u.project_id AND c.hour = u.hour"
    more = columns("{0} = greatest(c.{0}, u.{0})", names)
    connection.execute(text(f"UPDATE staged_counts c SET {more} FROM usage_hourly u WHERE {mine}"), bounds)
    listed = columns("u.{0}", names)
    connection.execute(
        text(f"""
            INSERT INTO staged_counts (project_id, hour, {columns("{0}", names)})
            SELECT u.project_id, u.hour, {listed} FROM usage_hourly u
            WHERE u.hour >= :start AND u.hour < :end
                AND NOT EXISTS (SELECT FROM staged_counts c WHERE {mine})"""),
        bounds,
    )


def apply_staged(
    connection: Connection,
    source: Source,
    project_ids: Sequence[int],
    start: datetime,
    end: datetime,
    at: datetime,
    without: Collection[str] = (),
) -> None:
    """Set the hours of `[start, end)` to what was staged, zero included, and say they are measured.

    Counters in `without` could not be counted: they stay, and the hours are not said to be measured,
    so that the next count begins where this one did. Hours before a project's `open_from` are left
    alone: they are sealed. The running totals move by the difference. `at` is when the count was made:
    an hour is measured up to it.
    """
    projects.ensure(connection, project_ids, at)
    projects.lock(connection, project_ids)
    target = f"""
        SELECT s.project_id, hour.hour FROM project_stats s
        JOIN projects p ON p.id = s.project_id
        CROSS JOIN LATERAL generate_series(
            greatest(:start, s.open_from), least(:end, {METERED_UNTIL}) - interval '1 hour',
            interval '1 hour') AS hour (hour)
        WHERE s.project_id = ANY(:ids)"""
    connection.execute(
        _set_hours(source, target, without),
        {"ids": list(project_ids), "start": start, "end": end, "at": at, "source": source},
    )


def fill_sealed_day(
    connection: Connection, source: Source, project_ids: Sequence[int], day: Day, at: datetime
) -> None:
    """Set the 24 hours of `day` to what was staged, before `open_from`: for a backfill only.

    The caller holds the projects' locks and seals that day in this transaction.
    """
    target = f"""
        SELECT p.id AS project_id, hour.hour FROM projects p
        CROSS JOIN LATERAL generate_series(
            CAST(:start AS timestamptz), least(CAST(:end AS timestamptz), {METERED_UNTIL})
                - interval '1 hour', interval '1 hour') AS hour (hour)
        WHERE p.id = ANY(:ids)"""
    connection.execute(
        _set_hours(source, target),
        {"ids": list(project_ids), "start": day.start, "end": day.end, "at": at, "source": source},
    )


def _set_hours(source: Source, target: str, without: Collection[str] = ()) -> Any:
    names = tuple(name for name in counters_of(source) if name not in without)
    measured = f"{source}_measured_at = greatest(s.{source}_measured_at, :at)," if not without else ""
    mark = "jsonb_build_object(CAST(:source AS text), least(hour + interval '1 hour', :at))"
    kept = "u.measured" if without else f"u.measured - '{source}_failed'"
    sums = columns("sum({0}) AS {0}", names)
    return text(f"""
        WITH target AS ({target}), counted AS (
            SELECT t.project_id, t.hour, {columns("coalesce(c.{0}, 0) AS {0}", names)}
            FROM target t LEFT JOIN staged_counts c USING (project_id, hour)
        ), before AS (
            SELECT project_id, {sums} FROM usage_hourly JOIN target USING (project_id, hour)
            WHERE hour >= :start AND hour < :end  -- which tells the planner the partitions
            GROUP BY project_id
        ), after AS (
            SELECT project_id, {sums} FROM counted GROUP BY project_id
        ), written AS (
            INSERT INTO usage_hourly AS u (project_id, hour, {columns("{0}", names)}, measured)
            SELECT project_id, hour, {columns("{0}", names)}, {"'{}'" if without else mark}
            FROM counted
            ON CONFLICT (project_id, hour) DO UPDATE SET {columns("{0} = excluded.{0}", names)},
                measured = {kept} || excluded.measured
        )
        UPDATE project_stats s SET updated_at = greatest(s.updated_at, :at),
            {measured}
            {columns("{0} = s.{0} + a.{0} - coalesce(b.{0}, 0)", names)}
        FROM after a LEFT JOIN before b USING (project_id) WHERE s.project_id = a.project_id""")


def record_gauges(
    connection: Connection,
    source: Source,
    samples: Mapping[int, Mapping[str, int]],
    at: datetime,
    parts: Parts | None = None,
    whole: bool = True,
    earlier: Mapping[int, datetime] | None = None,
) -> None:
    """Write the levels of `source`, project id -> gauge name -> value, sampled at `at`.

    Those of a project in `earlier` were read at `at` and are as of that instant: they are taken unless
    a younger sample is known, and are carried into the hour of `at` with their age.

    A project that is not in `samples` keeps its last known values and their age. `parts` are those of
    a source in several places, and are kept beside the sum. Where something else of the source could
    not be read it is not `whole`, and is not said to be measured.
    """
    ids = sorted(samples)
    projects.ensure(connection, ids, at)
    projects.lock(connection, ids)
    gauges = gauges_of(source)
    values = {gauge.name: [samples[project].get(gauge.name) for project in ids] for gauge in gauges}
    connection.execute(
        _record_gauges(source, whole),
        values
        | {"ids": ids, "hour": Hour.of(at).start, "at": at, "source": source}
        | {"sampled": [(earlier or {}).get(project, at) for project in ids]}
        | {"parts": _parts(source, ids, parts or {})},
    )


def _parts(source: Source, ids: Sequence[int], parts: Parts) -> list[str]:
    return [json.dumps({f"{source}_parts": parts[project]} if project in parts else {}) for project in ids]


def record_failures(
    connection: Connection,
    source: Source,
    reasons: Mapping[int, str],
    at: datetime,
    parts: Parts | None = None,
) -> None:
    """Say in the hour of `at` why `source` could not be read, project id -> reason; no level changes.

    A sample of the same hour, before or after, takes the reason's place: a level is one for the hour,
    where rows are counted until its end. Of `parts`, those that were
    read are kept; a sum without the others would be too small and is not.
    """
    ids = sorted(reasons)
    projects.ensure(connection, ids, at)
    projects.lock(connection, ids)
    connection.execute(
        RECORD_FAILURES,
        {
            "ids": ids,
            "reasons": [reasons[project] for project in ids],
            "parts": _parts(source, ids, parts or {}),
            "hour": Hour.of(at).start,
            "source": source,
            "key": f"{source}_failed",
        },
    )


RECORD_FAILURES = text("""
    INSERT INTO usage_hourly AS u (project_id, hour, measured)
    SELECT s.project_id, greatest(:hour, s.open_from),
        jsonb_build_object(CAST(:key AS text), g.reason) || CAST(g.parts AS jsonb)
    FROM unnest(CAST(:ids AS bigint[]), CAST(:reasons AS text[]), CAST(:parts AS text[]))
        AS g (project_id, reason, parts)
    JOIN project_stats s USING (project_id) ORDER BY s.project_id
    ON CONFLICT (project_id, hour) DO UPDATE SET measured = u.measured || excluded.measured
        WHERE NOT u.measured ? CAST(:source AS text) OR CAST(:source AS text) = 'platform_db'""")


def known_sum(names: Sequence[str], prefix: str = "") -> str:
    """SQL of the sum of those columns that are known; NULL when none is."""
    total = " + ".join(f"coalesce({prefix}{name}, 0)" for name in names)
    return f"CASE WHEN num_nonnulls({', '.join(prefix + n for n in names)}) > 0 THEN {total} END"


def _record_gauges(source: Source, whole: bool) -> Any:
    measured = f"{source}_measured_at = greatest(s.{source}_measured_at, g.sampled)," if whole else ""
    mark = "jsonb_build_object(CAST(:source AS text), sampled)" if whole else "jsonb '{}'"
    kept = f"u.measured - '{source}_failed'" if whole else "u.measured"
    gauges = gauges_of(source)
    names = tuple(gauge.name for gauge in gauges)
    live = {gauge.name: gauge.live for gauge in GAUGES}
    parts = [
        f"coalesce(g.{part}, s.{live[part]})" if part in names else f"s.{live[part]}"
        for part in STORAGE_PARTS
    ]
    return text(f"""
        WITH given AS (
            SELECT g.* FROM unnest(CAST(:ids AS bigint[]), {columns("CAST(:{0} AS bigint[])", names)},
                CAST(:parts AS text[]), CAST(:sampled AS timestamptz[]))
                AS g (project_id, {columns("{0}", names)}, parts, sampled)
            JOIN project_stats k USING (project_id)
            WHERE g.sampled = :at OR g.sampled >= coalesce(k.{source}_measured_at, '-infinity')
        ), stats AS (
            UPDATE project_stats s SET {
        columns("{0}", tuple(f"{gauge.live} = coalesce(g.{gauge.name}, s.{gauge.live})" for gauge in gauges))
    },
                total_storage_bytes = {known_sum(parts)},
                {measured}
                updated_at = greatest(s.updated_at, :at)
            FROM given g WHERE s.project_id = g.project_id
            RETURNING s.project_id, s.open_from, s.total_storage_bytes
        )
        INSERT INTO usage_hourly AS u
            (project_id, hour, {columns("{0}", names)}, storage_bytes, measured)
        SELECT project_id, greatest(:hour, open_from), {columns("{0}", names)},
            total_storage_bytes,
            {mark} || CAST(parts AS jsonb)
        FROM given JOIN stats USING (project_id)
        ON CONFLICT (project_id, hour) DO UPDATE SET
            {columns("{0} = coalesce(excluded.{0}, u.{0})", (*names, "storage_bytes"))},
            measured = {kept} || excluded.measured""")
