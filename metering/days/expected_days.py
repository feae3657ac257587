"""Find the days that a project is expected to have, and those of them that are not sealed."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.periods import Day
from metering.catalogue.projects import (
    INSTALLED_AT,
    INSTALLED_FIRST,
    METERED_FROM,
    METERED_UNTIL,
)

# The first expected day of `projects p`: creation or installation, or the first that was sealed in the
# month of the installation.
EXPECTED_FROM = f"""least(
    greatest({METERED_FROM}, date_trunc('day', {INSTALLED_AT}, 'UTC')),
    (SELECT min(d.date)::timestamp AT TIME ZONE 'UTC' FROM daily_stats d WHERE d.project_id = p.id
        AND d.date >= {INSTALLED_FIRST}))"""

# The first day of `projects p` that an organization's session sees: it sees no day of another owner.
OWNED_FROM = """CASE WHEN (SELECT fleetmeter_unscoped()) IS NULL THEN (
    SELECT date_trunc('day', min(w.owned_from), 'UTC') FROM project_owners w WHERE w.project_id = p.id) END"""


@dataclass(frozen=True)
class MissingDay:
    """An expected day that is over and has no snapshot."""

    project_id: int
    project: str
    organization_id: int
    date: date


# Of `projects p`, the days `[starts, ends)` of `[:since, :until)` that are expected and over at `:at`:
# a row for each range without a day off, nor one that belongs to an owner whom the session does not see.
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
    LEFT JOIN (
        SELECT project_id, range_agg(daterange((owned_from AT TIME ZONE 'UTC')::date,
            (owned_until AT TIME ZONE 'UTC')::date)) AS days
        FROM project_owners WHERE (SELECT fleetmeter_unscoped()) IS NULL
        GROUP BY project_id) own ON own.project_id = p.id
    CROSS JOIN LATERAL (
        SELECT p.starts, p.ends WHERE off.days IS NULL AND own.days IS NULL
        UNION ALL SELECT lower(day)::timestamptz, upper(day)::timestamptz
        FROM unnest(datemultirange(daterange(p.starts::date, greatest(p.starts, p.ends)::date))
            * coalesce(own.days, '{{(,)}}') - coalesce(off.days, '{{}}')) day
        WHERE off.days IS NOT NULL OR own.days IS NOT NULL) days"""

# Counting first is quicker: the days of a project without a missing day are not generated. The rest are
# looked up one by one (a scalar query), where an anti-join would read every day there ever was.
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
    """Return the expected days from `first` to `last` that are over at `at` and not sealed."""
    rows = connection.execute(
        text(f"{MISSING_DAYS} ORDER BY p.id, day.day"),
        {"since": first.start, "until": last.end, "at": at, "project_id": project_id},
    )
    return [MissingDay(*row) for row in rows]
