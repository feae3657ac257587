"""The catalogue's past: tiers, owners and pauses as they were read from the platform's tables.

The platform keeps only today's values. Each run reads them and keeps every change with its own `at`, so
that a period is described by the last reading before its end, however late it is sealed or closed. A
reading at or after the end counts only where there was none before.

A pause is a time in which a project was off. It starts at the `deactivated_at` that the platform gives,
otherwise at the first reading that finds the project off, but never before the last reading that found
it on. It ends at the first reading that finds it on again. `off_from` and `off_until` are the half-open
range of the UTC days on which the project was off from beginning to end.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.periods import Day, utc

# The organization that owned project `p` at the end `{end}` of a period.
OWNER_AT = """coalesce(
    (SELECT w.organization_id FROM project_owners w WHERE w.project_id = p.id AND w.read_from < {end}
        ORDER BY w.read_from DESC LIMIT 1),
    (SELECT w.organization_id FROM project_owners w WHERE w.project_id = p.id ORDER BY w.read_from LIMIT 1),
    p.organization_id)"""

# Joins to projects `p` the organization `o`, `id` and today's `tier`, that owned it at the end `{end}` of a
# period: also one that the platform has deleted since, whose tier is then the one that was read.
OWNER_OF_PERIOD = f"""CROSS JOIN LATERAL (SELECT owner.id, present.tier
    FROM (SELECT {OWNER_AT} AS id) owner
    LEFT JOIN {platform.ORGANIZATIONS} present ON present.id = owner.id) o"""

# The tier of organization `o` at the end `{end}` of a period.
TIER_AT = """coalesce(
    (SELECT t.tier FROM organization_tiers t WHERE t.organization_id = o.id AND t.read_from < {end}
        ORDER BY t.read_from DESC LIMIT 1),
    (SELECT t.tier FROM organization_tiers t WHERE t.organization_id = o.id ORDER BY t.read_from LIMIT 1),
    o.tier)"""

# Which of owner and tier, of project `p` and organization `o` at `{end}`, are later readings: JSON.
READ_LATER = """(
    CASE WHEN EXISTS (SELECT FROM project_owners w WHERE w.project_id = p.id AND w.read_from < {end})
        THEN '[]'::jsonb ELSE '["owner"]' END
    || CASE WHEN EXISTS (
        SELECT FROM organization_tiers t WHERE t.organization_id = o.id AND t.read_from < {end})
        THEN '[]'::jsonb ELSE '["tier"]' END)"""

# Whether organization `{organization}` owns or owned project `p`.
EVER_OWNED = """({organization} = p.organization_id OR EXISTS (
    SELECT FROM project_owners w WHERE w.project_id = p.id AND w.organization_id = {organization}))"""

# Whether the day of project `p` that ends at `{ends}` may be seen: an organization's session sees its own.
OWNED_ON = """((SELECT fleetmeter_unscoped()) IS NOT NULL
    OR EXISTS (SELECT FROM project_owners w WHERE w.project_id = p.id
        AND w.owned_from < {ends} AND w.owned_until >= {ends})
    OR NOT EXISTS (SELECT FROM project_owners w WHERE w.project_id = p.id))"""

# Whether project `p` was off on the UTC day `{date}` from beginning to end.
OFF_ON = """EXISTS (SELECT FROM project_pauses x WHERE x.project_id = p.id
    AND x.off_from <= {date} AND coalesce(x.off_until, 'infinity') > {date})"""

# How many of the days from `{first}` until before `{until}` project `p` was off from beginning to end.
DAYS_OFF = """(SELECT coalesce(sum(greatest(0,
        least(coalesce(x.off_until, 'infinity'), {until}) - greatest(x.off_from, {first}))), 0)::int
    FROM project_pauses x WHERE x.project_id = p.id)"""

_READ = text("""
    INSERT INTO catalogue_readings (at) SELECT :at
    WHERE :at >= (SELECT coalesce(max(at), '-infinity') FROM catalogue_readings)
    ON CONFLICT (at) DO UPDATE SET at = excluded.at RETURNING at""")

_TIERS = f"""
    INSERT INTO organization_tiers (organization_id, read_from, tier)
    SELECT o.id, :at, o.tier FROM {platform.ORGANIZATIONS} o LEFT JOIN LATERAL (
        SELECT tier FROM organization_tiers t WHERE t.organization_id = o.id
        ORDER BY t.read_from DESC LIMIT 1) last ON true
    WHERE o.tier IS NOT NULL AND o.tier IS DISTINCT FROM last.tier AND {{which}}
    ORDER BY o.id ON CONFLICT DO NOTHING"""

_OWNERS = f"""
    INSERT INTO project_owners (project_id, read_from, organization_id)
    SELECT p.id, :at, p.organization_id FROM {platform.PROJECTS} p LEFT JOIN LATERAL (
        SELECT organization_id FROM project_owners w WHERE w.project_id = p.id
        ORDER BY w.read_from DESC LIMIT 1) last ON true
    WHERE p.organization_id IS DISTINCT FROM last.organization_id AND {{which}}
    ORDER BY p.id ON CONFLICT DO NOTHING"""

# Before the owners of this reading are kept: a project without an owner is read for the first time.
_PAUSES = f"""
    INSERT INTO project_pauses (project_id, starts_at, off_from, deactivated_at)
    SELECT p.id, pause.starts_at, ((pause.starts_at AT TIME ZONE 'UTC') + interval '1 day'
        - interval '1 microsecond')::date, p.deactivated_at
    FROM {platform.PROJECTS} p CROSS JOIN LATERAL (SELECT greatest(
        CASE WHEN isfinite(p.deactivated_at) THEN p.deactivated_at ELSE :at END,
        (SELECT max(r.at) FROM catalogue_readings r WHERE r.at < :at AND EXISTS (
            SELECT FROM project_owners w WHERE w.project_id = p.id AND w.read_from <= r.at))
        ) AS starts_at) pause
    WHERE NOT p.is_active AND {{which}} AND NOT EXISTS (
        SELECT FROM project_pauses x WHERE x.project_id = p.id AND x.ends_at IS NULL)
    ORDER BY p.id ON CONFLICT DO NOTHING"""

_RESUMED = text(f"""
    UPDATE project_pauses x SET ends_at = :at,
        off_until = greatest(x.off_from, (CAST(:at AS timestamptz) AT TIME ZONE 'UTC')::date)
    FROM {platform.PROJECTS} p WHERE p.id = x.project_id AND p.is_active AND x.ends_at IS NULL""")

_NEW_PROJECT = """p.id = ANY(:ids) AND NOT EXISTS (
    SELECT FROM project_owners known WHERE known.project_id = p.id)"""
_NEW_ORGANIZATION = f"""o.id = ANY(SELECT organization_id FROM {platform.PROJECTS} p WHERE p.id = ANY(:ids))
    AND NOT EXISTS (SELECT FROM organization_tiers known WHERE known.organization_id = o.id)"""


def read(connection: Connection, at: datetime) -> None:
    """Record the changes in the platform's tables since the last reading, as read at `at`.

    A reading earlier than the newest one changes nothing: its values were not known then.
    """
    parameters = {"at": utc(at)}
    if connection.scalar(_READ, parameters) is None:
        return
    connection.execute(_RESUMED, parameters)
    for statement in (_PAUSES, _OWNERS, _TIERS):
        connection.execute(text(statement.format(which="true")), parameters)


def read_new(connection: Connection, project_ids: Sequence[int], at: datetime) -> None:
    """Record the first reading of the projects that were never read.

    It is dated `at`, or as the newest reading of all, if that is later: this one is not older.
    """
    newest = connection.scalar(text("SELECT max(at) FROM catalogue_readings"))
    parameters = {"at": max(utc(at), newest or utc(at)), "ids": list(project_ids)}
    for statement, which in (
        (_PAUSES, _NEW_PROJECT),
        (_OWNERS, _NEW_PROJECT),
        (_TIERS, _NEW_ORGANIZATION),
    ):
        connection.execute(text(statement.format(which=which)), parameters)


def owner_at(connection: Connection, project_id: int, end: datetime) -> int | None:
    """Return the organization that owned a project at the end of a period; None for an unknown project."""
    query = text(f"SELECT {OWNER_AT.format(end=':end')} FROM {platform.PROJECTS} p WHERE p.id = :id")
    owner: int | None = connection.scalar(query, {"id": project_id, "end": utc(end)})
    return owner


def owners(connection: Connection, project_id: int) -> list[tuple[datetime, int]]:
    """Return every owner of a project: the instant at which it was first read, and its id, in order."""
    query = text("""
        SELECT read_from, organization_id FROM project_owners
        WHERE project_id = :id ORDER BY read_from""")
    return [(row.read_from, row.organization_id) for row in connection.execute(query, {"id": project_id})]


def was_off(connection: Connection, project_id: int, day: Day) -> bool:
    """Return whether a project was off on `day` from beginning to end, as far as that was read."""
    query = text(
        f"SELECT {OFF_ON.format(date='CAST(:date AS date)')} FROM {platform.PROJECTS} p WHERE p.id = :id"
    )
    return bool(connection.scalar(query, {"id": project_id, "date": day.date}))
