"""Tell how well a sealed day was measured, source by source.

A day's coverage has one entry for each source: `state` is measured, zero (measured, and there was nothing),
partial, missing, carried, denied, failed, not_started or not_configured. Sources of
counters add `hours`, measured, `of` those expected; sources of gauges add `sampled_at`, the instant of the
sample that the day shows, and if that is of an earlier day its `age_hours` at this day's end. A source
that was denied or failed all day adds the last `reason`. One that lies in several places adds `parts`:
place -> its levels, null where it was not read.
"""

from metering.catalogue.meters import is_zero
from metering.catalogue.sources import SOURCES, SourceInfo
from metering.ledger.failures import failure_state
from metering.ledger.sessions import absent, is_approximate

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
# Without its client id: organizations read this, and a client that knows the id can take the messages.
_AWAY = f"(SELECT 'a counter was away' FROM mqtt_sessions m WHERE {absent('m', _DAY_END)} LIMIT 1)"
_NEVER_READ = {
    "sessions": "NOT EXISTS (SELECT FROM mqtt_sessions WHERE session_started_at < :end)",
    "hours": "s.{0}_measured_at IS NULL AND NOT coalesce((h.{0}_failed->>'of_project')::boolean, false)",
}
_MEASURED_HOURS = {"sessions": f"({_SESSION_HOURS})::int", "hours": "h.{0}_hours::int"}


def _counter_entry(source: SourceInfo) -> str:
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


def _gauge_entry(source: SourceInfo) -> str:
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
    # The age is an integer: a day is hashed, and not every program writes 38.0 as PostgreSQL does.
    return f"""CASE WHEN {sampled_at} IS NOT NULL THEN jsonb_build_object('state', 'carried',
        'sampled_at', {sampled_at}, 'age_hours', floor(extract(epoch FROM
            CAST(:end AS timestamptz) - CAST({sampled_at} AS timestamptz)) / 3600)::int) END"""


def _of_source(source: SourceInfo) -> str:
    return f"'{source.name}', " + (_counter_entry(source) if source.is_counter else _gauge_entry(source))


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


INCOMPLETE_STATES = ("partial", "missing", "denied", "failed")  # not read for all of the day
# Of a day `{0}`: some source is in one of INCOMPLETE_STATES. Word for word the predicate of a partial index.
INCOMPLETE = (
    """{0}.coverage @? '$.*.state ? (@ == "partial" || @ == "missing" || @ == "denied" || @ == "failed")'"""
)


def unknown_on_day(source: str, day: str) -> str:
    """Return SQL that is true where the counters of `source` are not known for all of the row `day`."""
    return f"{day}.coverage->'{source}'->>'state' IN ('partial', 'missing')"
