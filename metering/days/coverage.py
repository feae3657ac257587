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
from typing import Literal

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.meters import is_zero
from metering.catalogue.periods import Day
from metering.catalogue.projects import INSTALLED_AT, INSTALLED_MONTH, METERED_FROM, METERED_UNTIL
from metering.catalogue.sources import SOURCES, SourceInfo, SourceName
from metering.ledger.failures import failure_state
from metering.ledger.sessions import absent, is_approximate

# The first expected day of `projects p`: creation or installation, or the first that was sealed in the
# month of the installation.
EXPECTED_FROM = f"""least(
    greatest({METERED_FROM}, date_trunc('day', {INSTALLED_AT}, 'UTC')),
    (SELECT min(d.date)::timestamp AT TIME ZONE 'UTC' FROM daily_stats d WHERE d.project_id = p.id
        AND d.date >= ({INSTALLED_MONTH} AT TIME ZONE 'UTC')::date))"""

_HOUR_END = "least(h.hour + interval '1 hour', CAST(:at AS timestamptz))"
# Hours of the day `[:start, :end)` in which every counter daemon read its session, without gaps.
_SESSION_HOURS = f"""
    SELECT count(*) FROM generate_series(
        greatest(CAST(:start AS timestamptz), date_trunc('hour', p.created_at, 'UTC')),
        CAST(:end AS timestamptz) - interval '1 hour', interval '1 hour') AS h (hour)
    WHERE EXISTS (
            SELECT FROM mqtt_sessions m WHERE m.session_started_at < h.hour + interval '1 hour'
            AND m.last_seen_at >= {_HOUR_END} - interval '1 minute')
        AND NOT EXISTS (SELECT FROM mqtt_sessions m WHERE {absent("m", _HOUR_END)})
        AND NOT EXISTS (
            SELECT FROM gaps g WHERE g.source = 'mqtt' AND g.covered_at IS NULL
            AND g.starts_at < h.hour + interval '1 hour' AND coalesce(g.ends_at, 'infinity') > h.hour
            AND (g.project_ids IS NULL OR p.id = ANY(g.project_ids)))"""

_EXPECTED_HOURS = """(extract(epoch FROM CAST(:end AS timestamptz) - greatest(
    CAST(:start AS timestamptz), date_trunc('hour', p.created_at, 'UTC'))) / 3600)::int"""


_DAY_END = "least(CAST(:end AS timestamptz), CAST(:at AS timestamptz))"
# Without its client id: organizations read this, and whoever knows the id can take the messages.
_AWAY = f"(SELECT 'a counter was away' FROM mqtt_sessions m WHERE {absent('m', _DAY_END)} LIMIT 1)"
_NEVER_READ = {
    "sessions": "NOT EXISTS (SELECT FROM mqtt_sessions WHERE session_started_at < :end)",
    "hours": "s.{0}_measured_at IS NULL AND NOT coalesce((h.{0}_failed->>'of_project')::boolean, false)",
}
_MEASURED_HOURS = {"sessions": f"({_SESSION_HOURS})::int", "hours": "h.{0}_hours::int"}


def _counted(source: SourceInfo) -> str:
    hours = _MEASURED_HOURS[source.measured_by].format(source.name)
    never = _NEVER_READ[source.measured_by].format(source.name)
    reason = f"h.{source.name}_failed->>'reason'" if source.is_polled else _AWAY
    approximate = (
        "NULL" if source.is_polled else f"CASE WHEN {is_approximate(':start', ':end')} THEN true END"
    )
    zero = is_zero(source.name, "h")
    return f"""(SELECT CASE WHEN {never} THEN jsonb_build_object('state', 'not_started') ELSE
        jsonb_strip_nulls(jsonb_build_object('hours', n, 'of', {_EXPECTED_HOURS}, 'state', CASE
            WHEN n >= {_EXPECTED_HOURS} THEN CASE WHEN {zero} THEN 'zero' ELSE 'measured' END
            WHEN n > 0 THEN 'partial'
            ELSE 'missing' END, 'reason', CASE WHEN n < {_EXPECTED_HOURS} THEN {reason} END,
            'approximate', {approximate}))
        END FROM (SELECT {hours}) AS c (n))"""


def _sampled(source: SourceInfo) -> str:
    name = source.name
    previous_sample = f"previous.coverage->'{name}'->>'sampled_at'"
    parts = f"""CASE WHEN h.{name}_parts IS NULL THEN '{{}}'
        ELSE jsonb_build_object('parts', h.{name}_parts) END"""
    sampled = f"CAST(h.{name}_sampled_at AS timestamptz)"
    return f"""CASE
        WHEN {sampled} >= :start THEN jsonb_build_object('sampled_at', h.{name}_sampled_at,
            'state', CASE WHEN {is_zero(name, "h")} THEN 'zero' ELSE 'measured' END) || {parts}
        WHEN {sampled} IS NOT NULL THEN {_carried(f"h.{name}_sampled_at")} || {parts}
        WHEN h.{name}_failed IS NOT NULL THEN coalesce({_carried(previous_sample)}, '{{}}')
            || jsonb_build_object('state', {failure_state(f"h.{name}_failed")},
                'reason', h.{name}_failed->>'reason') || {parts}
        WHEN {previous_sample} IS NOT NULL THEN {_carried(previous_sample)}
        WHEN EXISTS (SELECT FROM project_stats WHERE {name}_measured_at IS NOT NULL) THEN
            jsonb_build_object('state', 'missing')
        ELSE jsonb_build_object('state', 'not_configured') END"""


def _carried(sampled_at: str) -> str:
    # The age is whole: a day is hashed, and not everybody writes 38.0 as PostgreSQL does.
    return f"""CASE WHEN {sampled_at} IS NOT NULL THEN jsonb_build_object('state', 'carried',
        'sampled_at', {sampled_at}, 'age_hours', floor(extract(epoch FROM
            CAST(:end AS timestamptz) - CAST({sampled_at} AS timestamptz)) / 3600)::int) END"""


def _of_source(source: SourceInfo) -> str:
    return f"'{source.name}', " + (_counted(source) if source.is_counter else _sampled(source))


# SQL of a day's coverage, over `projects p`, `project_stats s`, the day's hours `h` (with HOUR_COLUMNS)
# and the `previous` sealed day, as the seal joins them.
OF_DAY = f"jsonb_build_object({', '.join(map(_of_source, SOURCES))})"

_LAST_FAILURE = """(array_agg(measured->'{0}_failed' ORDER BY hour DESC)
    FILTER (WHERE measured ? '{0}_failed'))[1] AS {0}_failed"""
# Parts of the sample used for the day, or of the last failed read if there was no sample.
_LAST_PARTS = """(array_agg(measured->'{0}_parts' ORDER BY measured ? '{0}' DESC, hour DESC)
    FILTER (WHERE measured ? '{0}_parts'))[1] AS {0}_parts"""
_COMPLETE_HOURS = """count(*) FILTER (WHERE CAST(measured->>'{0}' AS timestamptz)
    >= hour + interval '1 hour' AND hour >= date_trunc('hour', p.created_at, 'UTC')) AS {0}_hours"""


def _hour_columns(source: SourceInfo) -> list[str]:
    templates = {
        "sessions": (),
        "hours": (_LAST_FAILURE, _COMPLETE_HOURS),
        "samples": ("max(measured->>'{0}') AS {0}_sampled_at", _LAST_FAILURE, _LAST_PARTS),
    }[source.measured_by]
    return [template.format(source.name) for template in templates]


# SQL of what OF_DAY needs of the day's hours, as aggregates over usage_hourly of `projects p`.
HOUR_COLUMNS = ",\n".join(column for source in SOURCES for column in _hour_columns(source))


# silent        not read since; ends by itself when its source is read again
# session_lost  the broker discarded the session of a counter daemon, and its messages
# taken_over    another client used the client id of a counter daemon, and received its messages
# retired       an operator gave up a counter daemon, and what the broker held for it
# partial_day   a day was sealed with a part of its rows; see partial_days.py
# other         anything else, such as a gap that an operator records
GapKind = Literal["silent", "session_lost", "taken_over", "retired", "partial_day", "other"]
INCOMPLETE_STATES = ("partial", "missing", "denied", "failed")  # not read for all of the day
# Of a day `{0}`: some source is in one of INCOMPLETE_STATES. Word for word the predicate of a partial index.
INCOMPLETE = (
    """{0}.coverage @? '$.*.state ? (@ == "partial" || @ == "missing" || @ == "denied" || @ == "failed")'"""
)


def unknown_on_day(source: str, day: str) -> str:
    """Return SQL that is true where the counters of `source` are not known for all of the row `day`."""
    return f"{day}.coverage->'{source}'->>'state' IN ('partial', 'missing')"


def open_gap(
    connection: Connection,
    source: SourceName,
    starts_at: datetime,
    ends_at: datetime | None,
    reason: str,
    project_ids: Sequence[int] | None = None,
    kind: GapKind = "other",
) -> None:
    """Record that `source` was blind in `[starts_at, ends_at)`, for those projects or for all.

    `reason` is a sentence for people; `kind` decides who is alerted and how the gap is covered.
    """
    connection.execute(
        text("""
            INSERT INTO gaps (source, starts_at, ends_at, kind, reason, project_ids)
            VALUES (:source, :starts_at, :ends_at, :kind, :reason, :projects)"""),
        {
            "source": source,
            "starts_at": starts_at,
            "ends_at": ends_at,
            "kind": kind,
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


# Of `projects p`, the days `[starts, ends)` of `[:since, :until)` that are expected and over at `:at`:
# a row for each range without a day off.
EXPECTED = f"""
    SELECT p.id, p.name, p.organization_id, days.starts, days.ends
    FROM (
        SELECT p.id, p.name, p.organization_id,
            greatest(:since, CASE WHEN greatest({METERED_FROM}, {INSTALLED_AT}) <= :since
                THEN :since ELSE {EXPECTED_FROM} END) AS starts,
            least(:until, date_trunc('day', CAST(:at AS timestamptz), 'UTC'), {METERED_UNTIL}) AS ends
        FROM {platform.PROJECTS} p WHERE CAST(:project_id AS bigint) IS NULL OR p.id = :project_id) p
    LEFT JOIN (
        SELECT project_id, range_agg(daterange(off_from, off_until)) AS days FROM project_pauses
        GROUP BY project_id) off ON off.project_id = p.id
    CROSS JOIN LATERAL (
        SELECT p.starts, p.ends WHERE off.days IS NULL
        UNION ALL SELECT lower(day)::timestamptz, upper(day)::timestamptz
        FROM unnest(datemultirange(daterange(p.starts::date, greatest(p.starts, p.ends)::date))
            - off.days) day
        WHERE off.days IS NOT NULL) days"""

# Counting first is quicker: the days of a project that lacks none are not made up. And the rest are
# probed one by one (a scalar query), where an anti-join would read every day there ever was.
MISSING_DAYS = f"""
    WITH expected AS (
        SELECT e.*, sum(e.ends::date - e.starts::date) OVER (PARTITION BY e.id) AS days
        FROM ({EXPECTED}) e WHERE e.ends > e.starts
    ), short AS MATERIALIZED (
        SELECT e.* FROM expected e LEFT JOIN (
            SELECT project_id, count(*) AS days FROM daily_stats
            WHERE date >= CAST(:since AS timestamptz)::date AND date < CAST(:until AS timestamptz)::date
                AND (CAST(:project_id AS bigint) IS NULL OR project_id = :project_id)
            GROUP BY project_id
        ) sealed ON sealed.project_id = e.id
        WHERE sealed.days IS DISTINCT FROM e.days
    )
    SELECT p.id, p.name, p.organization_id, day.day::date
    FROM short p CROSS JOIN LATERAL generate_series(
        p.starts, p.ends - interval '1 day', interval '1 day') AS day (day)
    WHERE (SELECT true FROM daily_stats d
        WHERE d.project_id = p.id AND d.date = day.day::date) IS NULL"""


def missing_days(
    connection: Connection, first: Day, last: Day, at: datetime, project_id: int | None = None
) -> list[MissingDay]:
    """Return the expected days from `first` to `last`, both included, over at `at` and not sealed."""
    rows = connection.execute(
        text(f"{MISSING_DAYS} ORDER BY p.id, day.day"),
        {"since": first.start, "until": last.end, "at": at, "project_id": project_id},
    )
    return [MissingDay(*row) for row in rows]
