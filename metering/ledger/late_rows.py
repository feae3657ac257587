"""Late rows: what the platform wrote about a day after its seal, posted into the running month.

Each sealed day is recounted once, a day after its seal, so that what a platform's slow writer
commits, or takes back, is billed without changing what was sealed. Hours older than the oldest row of
a table were pruned by the platform, which takes back no usage; nor does what is lacking in that row's
own hour, if older ones are known to have been there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import projects
from metering.catalogue.meters import columns, counters_of
from metering.catalogue.periods import Day, Month, utc
from metering.catalogue.projects import METERED_UNTIL
from metering.catalogue.sources import SourceName
from metering.db import audit_log

WAIT = timedelta(hours=24)
ACTOR = "fleetmeter"


@dataclass(frozen=True)
class Sealed:
    """Which days a recount is about: those sealed after `after`, up to and with `until`."""

    after: datetime
    until: datetime


@dataclass(frozen=True)
class Begins:
    """Where a counter's table begins: the hour of its oldest row, and whether older ones were there."""

    hour: datetime
    pruned: bool


def waiting(connection: Connection, source: SourceName, at: datetime) -> Sealed:
    """The seals that are a day old at `at` and younger than those of the last recount."""
    query = text("""
        SELECT coalesce(max(CAST(after->>'sealed_until' AS timestamptz)), '0001-01-01Z')
        FROM audit_log WHERE action = 'recount' AND subject = :source""")
    return Sealed(connection.execute(query, {"source": source}).scalar_one(), utc(at) - WAIT)


def due(connection: Connection, sealed: Sealed) -> list[Day]:
    """The days to recount, in order."""
    query = text("""
        SELECT DISTINCT date FROM daily_stats
        WHERE created_at > :after AND created_at <= :until ORDER BY date""")
    found = connection.scalars(query, {"after": sealed.after, "until": sealed.until})
    return [Day(date) for date in found]


def begins(connection: Connection, counter: str, day: Day, hour: datetime | None) -> Begins:
    """What is known of a table whose oldest row is of `hour`, None for an empty one, as seen from `day`."""
    if hour is None or not day.start <= hour < day.end:
        return Begins(hour or day.end, pruned=False)
    older = text(f"""
        SELECT EXISTS (SELECT FROM usage_hourly
            WHERE hour >= CAST(:hour AS timestamptz) - interval '1 day' AND hour < :hour
            AND {counter} > 0)""")
    return Begins(hour, bool(connection.scalar(older, {"hour": hour})))


def post(
    connection: Connection,
    source: SourceName,
    day: Day,
    project_ids: Sequence[int],
    sealed: Sealed,
    at: datetime,
    begins: Mapping[str, Begins],
) -> int:
    """Post by how much `ledger.stage` counted `day` differently; returns the adjustments made.

    Safe twice: a day has at most one such adjustment a meter. A project that was deactivated in an
    earlier month has no bill to post to, and is left out.
    """
    projects.lock(connection, project_ids)
    names = counters_of(source)
    bounds: dict[str, Any] = {"ids": list(project_ids), "date": day.date, "at": at, "actor": ACTOR}
    bounds |= {"start": day.start, "end": day.end}
    for name, table in begins.items():
        bounds |= {f"oldest_{name}": table.hour, f"pruned_{name}": table.pruned}
    bounds |= {"after": sealed.after, "until": sealed.until}
    bounds |= {"month": Month.of(at).first.date, "month_start": Month.of(at).start}
    return connection.execute(text(_POST.format(**_columns(names))), bounds).rowcount


def _columns(names: tuple[str, ...]) -> dict[str, str]:
    return {
        "sums": columns("sum({0})::bigint AS {0}", names),
        "pruned": columns(_PRUNED, names),
        "differences": columns("('{0}', coalesce(c.{0}, 0) - (d.{0} - coalesce(h.{0}, 0)))", names),
    }


_PRUNED = """sum(CASE WHEN u.hour < :oldest_{0} THEN u.{0}
    WHEN u.hour = :oldest_{0} AND :pruned_{0} THEN greatest(u.{0} - coalesce(s.{0}, 0), 0)
    END)::bigint AS {0}"""

_POST = f"""
    WITH posted AS (INSERT INTO adjustments (project_id, kind, meter, quantity, usage_date, posted_month,
        reason, actor, created_at)
    SELECT d.project_id, 'late_rows', late.meter, late.quantity, d.date, :month,
        CASE WHEN late.quantity > 0 THEN 'rows found after' ELSE 'rows gone since' END
            || ' the seal of ' || d.date, :actor, :at
    FROM daily_stats d JOIN projects p ON p.id = d.project_id
    LEFT JOIN (SELECT project_id, {{sums}} FROM staged_counts GROUP BY project_id) c
        ON c.project_id = d.project_id
    LEFT JOIN (SELECT u.project_id, {{pruned}} FROM usage_hourly u
        LEFT JOIN staged_counts s ON s.project_id = u.project_id AND s.hour = u.hour
        WHERE u.project_id = ANY(:ids) AND u.hour >= :start AND u.hour < :end GROUP BY u.project_id) h
        ON h.project_id = d.project_id
    CROSS JOIN LATERAL (VALUES {{differences}}) AS late (meter, quantity)
    WHERE d.date = :date AND d.project_id = ANY(:ids)
        AND (late.quantity > 0 OR (late.quantity < 0 AND h.project_id IS NOT NULL))
        AND d.created_at > :after AND d.created_at <= :until AND {METERED_UNTIL} > :month_start
        AND NOT EXISTS (SELECT FROM monthly_stats m WHERE m.project_id = d.project_id
            AND make_date(m.year, m.month, 1) >= :month)
    ORDER BY d.project_id, late.meter
    ON CONFLICT (project_id, usage_date, meter) WHERE kind = 'late_rows' DO NOTHING
    RETURNING *)
    {audit_log.INSERT}
    SELECT :at, actor, 'adjust', 'project ' || project_id, NULL::jsonb, to_jsonb(posted) - 'created_at'
        || jsonb_build_object('posted_month', to_char(posted_month, 'YYYY-MM')), reason
    FROM posted ORDER BY id"""


def finish(
    connection: Connection, source: SourceName, days: Sequence[Day], sealed: Sealed, at: datetime
) -> None:
    """Note that these days were recounted, so that none is again."""
    after = {"days": [str(day) for day in days], "sealed_until": sealed.until.isoformat()}
    audit_log.record(connection, ACTOR, "recount", source, after=after, at=at)
