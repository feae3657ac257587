"""How well a period was measured: gaps, the coverage of a sealed day, and the days that are missing.

A day's coverage has one entry a source: `state` is measured, zero (measured, and there was nothing),
partial, missing, carried, denied, failed, not_started or not_configured. Counter sources add `hours`
measured `of` those expected; gauge sources add `sampled_at`, the instant of the sample that the day
shows, and where that is of an earlier day `age_hours` at this day's end. A source that was denied, or
failed, all day adds the last `reason`. One that lies in several regions adds `parts`: place -> its
levels, null where it was not read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, text

from metering.catalogue.meters import Source, columns, counters_of, gauges_of
from metering.catalogue.periods import Day
from metering.catalogue.projects import INSTALLED_AT, METERED_FROM, METERED_UNTIL

# The first expected day of `projects p`: creation or installation, unless a backfill went earlier.
EXPECTED_FROM = f"""least(
    greatest({METERED_FROM}, date_trunc('day', {INSTALLED_AT}, 'UTC')),
    (SELECT min(d.date)::timestamp AT TIME ZONE 'UTC' FROM daily_stats d WHERE d.project_id = p.id))"""

# Hours of the day `[:start, :end)` in which some counter daemon held its session, gaps taken out.
_MQTT_HOURS = """
    SELECT count(*) FROM generate_series(
        greatest(CAST(:start AS timestamptz), date_trunc('hour', p.created_at, 'UTC')),
        CAST(:end AS timestamptz) - interval '1 hour', interval '1 hour') AS h (hour)
    WHERE EXISTS (
            SELECT FROM mqtt_sessions m WHERE m.session_started_at < h.hour + interval '1 hour'
            AND m.last_seen_at >= least(h.hour + interval '1 hour', CAST(:at AS timestamptz))
                - interval '1 minute')
        AND NOT EXISTS (
            SELECT FROM gaps g WHERE g.source = 'mqtt' AND g.covered_at IS NULL
            AND g.starts_at < h.hour + interval '1 hour' AND coalesce(g.ends_at, 'infinity') > h.hour
            AND (g.project_ids IS NULL OR p.id = ANY(g.project_ids)))"""

_EXPECTED_HOURS = """(extract(epoch FROM CAST(:end AS timestamptz) - greatest(
    CAST(:start AS timestamptz), date_trunc('hour', p.created_at, 'UTC'))) / 3600)::int"""


def _is_zero(source: Source) -> str:
    names = counters_of(source) or tuple(gauge.name for gauge in gauges_of(source))
    return columns("coalesce(h.{0}, 0) = 0", names, " AND ")


def _counted(source: Source, hours: str, never: str, why: str = "NULL::text") -> str:
    return f"""(SELECT CASE WHEN {never} THEN jsonb_build_object('state', 'not_started') ELSE
        jsonb_strip_nulls(jsonb_build_object('hours', n, 'of', {_EXPECTED_HOURS}, 'state', CASE
            WHEN n >= {_EXPECTED_HOURS} THEN CASE WHEN {_is_zero(source)} THEN 'zero' ELSE 'measured' END
            WHEN n > 0 THEN 'partial'
            ELSE 'missing' END, 'reason', CASE WHEN n < {_EXPECTED_HOURS} THEN {why} END))
        END FROM (SELECT {hours}) AS c (n))"""


def _sampled(source: Source) -> str:
    carried = f"previous.coverage->'{source}'->>'sampled_at'"
    parts = f"""CASE WHEN h.{source}_parts IS NULL THEN '{{}}'
        ELSE jsonb_build_object('parts', h.{source}_parts) END"""
    sampled = f"CAST(h.{source}_sampled_at AS timestamptz)"
    return f"""CASE
        WHEN {sampled} >= :start THEN jsonb_build_object('sampled_at', h.{source}_sampled_at,
            'state', CASE WHEN {_is_zero(source)} THEN 'zero' ELSE 'measured' END) || {parts}
        WHEN {sampled} IS NOT NULL THEN {_carried(f"h.{source}_sampled_at")} || {parts}
        WHEN h.{source}_failed IS NOT NULL THEN coalesce({_carried(carried)}, '{{}}')
            || jsonb_build_object('state',
                CASE WHEN h.{source}_failed LIKE 'access denied%' THEN 'denied' ELSE 'failed' END,
                'reason', h.{source}_failed) || {parts}
        WHEN {carried} IS NOT NULL THEN {_carried(carried)}
        WHEN EXISTS (SELECT FROM project_stats WHERE {source}_measured_at IS NOT NULL) THEN
            jsonb_build_object('state', 'missing')
        ELSE jsonb_build_object('state', 'not_configured') END"""


def _carried(sampled_at: str) -> str:
    # The age is whole: a day is hashed, and not everybody writes 38.0 as PostgreSQL does.
    return f"""CASE WHEN {sampled_at} IS NOT NULL THEN jsonb_build_object('state', 'carried',
        'sampled_at', {sampled_at}, 'age_hours', floor(extract(epoch FROM
            CAST(:end AS timestamptz) - CAST({sampled_at} AS timestamptz)) / 3600)::int) END"""


# SQL of a day's coverage, over `projects p`, `project_stats s`, the day's hours `h` and the
# `previous` sealed day, as the seal joins them.
OF_DAY = f"""jsonb_build_object(
    'mqtt', {
    _counted(
        "mqtt",
        f"({_MQTT_HOURS})::int",
        "NOT EXISTS (SELECT FROM mqtt_sessions WHERE session_started_at < :end)",
    )
},
    'platform_db', {
    _counted(
        "platform_db", "h.platform_db_hours::int", "s.platform_db_measured_at IS NULL", "h.platform_db_failed"
    )
},
    's3', {_sampled("s3")},
    'ecr', {_sampled("ecr")})"""


# Of a day `{0}`: some source was not read for all of it. Word for word the predicate of a partial index.
INCOMPLETE = (
    """{0}.coverage @? '$.*.state ? (@ == "partial" || @ == "missing" || @ == "denied" || @ == "failed")'"""
)


def open_gap(
    connection: Connection,
    source: Source,
    starts_at: datetime,
    ends_at: datetime | None,
    reason: str,
    project_ids: Sequence[int] | None = None,
) -> None:
    """Record that `source` was blind in `[starts_at, ends_at)`, for those projects or for all."""
    connection.execute(
        text("""
            INSERT INTO gaps (source, starts_at, ends_at, reason, project_ids)
            VALUES (:source, :starts_at, :ends_at, :reason, :projects)"""),
        {
            "source": source,
            "starts_at": starts_at,
            "ends_at": ends_at,
            "reason": reason,
            "projects": None if project_ids is None else list(project_ids),
        },
    )


@dataclass(frozen=True)
class MissingDay:
    """An expected day that is over and has no snapshot."""

    project_id: int
    project: str
    organization_id: int
    date: date


# Of `projects p`, the days `[starts, ends)` of `[:since, :until)` that are expected and over at `:at`.
EXPECTED = f"""
    SELECT p.id, p.name, p.organization_id,
        greatest(:since, CASE WHEN greatest({METERED_FROM}, {INSTALLED_AT}) <= :since
            THEN :since ELSE {EXPECTED_FROM} END) AS starts,
        least(:until, date_trunc('day', CAST(:at AS timestamptz), 'UTC'), {METERED_UNTIL}) AS ends
    FROM projects p"""

# Counting first is quicker: the days of a project that lacks none are not made up. And the rest are
# probed one by one (a scalar query), where an anti-join would read every day there ever was.
MISSING_DAYS = f"""
    WITH expected AS ({EXPECTED} WHERE CAST(:project_id AS bigint) IS NULL OR p.id = :project_id
    ), short AS MATERIALIZED (
        SELECT e.* FROM expected e LEFT JOIN (
            SELECT project_id, count(*) AS days FROM daily_stats
            WHERE date >= CAST(:since AS timestamptz)::date AND date < CAST(:until AS timestamptz)::date
                AND (CAST(:project_id AS bigint) IS NULL OR project_id = :project_id)
            GROUP BY project_id
        ) sealed ON sealed.project_id = e.id
        WHERE e.ends > e.starts
            AND sealed.days IS DISTINCT FROM (e.ends::date - e.starts::date)
    )
    SELECT p.id, p.name, p.organization_id, day.day::date
    FROM short p CROSS JOIN LATERAL generate_series(
        p.starts, p.ends - interval '1 day', interval '1 day') AS day (day)
    WHERE (SELECT true FROM daily_stats d
        WHERE d.project_id = p.id AND d.date = day.day::date) IS NULL"""


def missing_days(
    connection: Connection, first: Day, last: Day, at: datetime, project_id: int | None = None
) -> list[MissingDay]:
    """Expected days from `first` to `last`, both included, over at `at` and not sealed."""
    rows = connection.execute(
        text(f"{MISSING_DAYS} ORDER BY p.id, day.day"),
        {"since": first.start, "until": last.end, "at": at, "project_id": project_id},
    )
    return [MissingDay(*row) for row in rows]
