"""Compare usage of the running month with the tiers' allowances, for every project in one statement."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.meters import COUNTERS, GAUGES, columns
from metering.catalogue.month_sql import month_of_day
from metering.catalogue.own_meters import LARGEST_NAMES, merged_sql
from metering.catalogue.periods import Month
from metering.catalogue.projects import BILLED_UNTIL, IS_BILLED
from metering.months.own_quantities import ADJUSTMENTS
from metering.pricing.month_versions import MonthVersions
from metering.pricing.plans import PlanVersion
from metering.running import organization_limits, shares
from metering.running.shares import Shares

Row = Mapping[str, Any]

# Usage in project_stats of months before the running one, while the last is not closed.
_EARLIER = f"""
    SELECT {columns("sum(d.{0}) AS {0}")}, {merged_sql("d.meters")} AS meters
    FROM daily_stats d WHERE :behind AND d.project_id = s.project_id AND d.date < :first
        AND {IS_BILLED.format(project="d.project_id", month=month_of_day("d.date"))}
        AND d.date >= coalesce({BILLED_UNTIL.format(project="s.project_id")}, '-infinity')"""

# Corrections of the running month's own usage.
_ADJUSTED = f"""
    SELECT {columns("sum(x.quantity) FILTER (WHERE x.meter = '{0}') AS {0}")},
        fleetmeter_meters({ADJUSTMENTS}) AS meters FROM adjustments x
    WHERE x.project_id = s.project_id AND x.posted_month = :first AND x.amount IS NULL"""

# A correction of a gauge does not exist.
_CORRECTED = " ".join(f"WHEN '{c.name}' THEN coalesce(s.posted_{c.name}, 0)" for c in COUNTERS)
_OF_GAUGES = " ".join(f"WHEN '{gauge.name}' THEN 0" for gauge in GAUGES)

# Usage of a meter of the platform's own; without events it is 0. Of one with max the running month's days and
# open hours are read, while project_stats still has the largest of the month before.
_IS_LARGEST = f"allowed.meter = ANY ({LARGEST_NAMES})"
_LARGEST = """greatest((s.posted_meters->>allowed.meter)::numeric, CASE WHEN :behind THEN greatest(
    (SELECT max((d.meters->>allowed.meter)::numeric) FROM daily_stats d
        WHERE d.project_id = s.project_id AND d.date >= :first AND d.meters ? allowed.meter),
    (SELECT max((u.meters->>allowed.meter)::numeric) FROM usage_hourly u WHERE u.project_id = s.project_id
        AND u.hour >= s.open_from AND u.hour >= CAST(:first AS date)::timestamp AT TIME ZONE 'UTC'
        AND u.meters ? allowed.meter)) ELSE (s.meters->>allowed.meter)::numeric END, 0)"""
_OWN = f"""CASE WHEN {_IS_LARGEST} THEN {_LARGEST}
    ELSE coalesce((s.meters->>allowed.meter)::numeric, 0)
        - coalesce((s.earlier_meters->>allowed.meter)::numeric, 0)
        + coalesce((s.posted_meters->>allowed.meter)::numeric, 0) END"""
_OWN_CORRECTED = f"""CASE WHEN {_IS_LARGEST} THEN 0
    ELSE coalesce((s.posted_meters->>allowed.meter)::numeric, 0) END"""

_USED = " ".join(
    [
        f"WHEN '{c.name}' THEN CASE WHEN s.{c.source}_measured_at IS NOT NULL"
        f" THEN s.{c.name} - coalesce(s.earlier_{c.name}, 0) + coalesce(s.posted_{c.name}, 0) END"
        for c in COUNTERS
    ]
    + [f"WHEN '{gauge.name}' THEN s.{gauge.live}" for gauge in GAUGES]
)

# `:near` is a share of what is included; with 0 or a `:project` every meter, also of unknown usage.
# `corrected` is what corrections have added to `used`; `included` is in proportion where the plan prorates
# and the project is metered for a part of the month only (`shares`).
# Usage is looked up for the meters that the tier names (OFFSET 0: once each), not spread out and joined.
OF_PROJECTS = f"""
    SELECT p.id AS project_id, p.name AS project, o.id AS organization_id, o.name AS organization, o.tier,
        used.meter, used.used, used.corrected, used.included, used.in_proportion, allowed.hard,
        used.used / nullif(used.included, 0)::float AS share
    FROM (SELECT s.*, {columns("earlier.{0} AS earlier_{0}")}, {columns("posted.{0} AS posted_{0}")},
            earlier.meters AS earlier_meters, posted.meters AS posted_meters
        FROM project_stats s CROSS JOIN LATERAL ({_EARLIER}) AS earlier
        CROSS JOIN LATERAL ({_ADJUSTED}) AS posted
        WHERE s.project_id > :above AND s.project_id <= :up_to
            AND (CAST(:project AS bigint) IS NULL OR s.project_id = :project)
            AND (CAST(:organizations AS bigint[]) IS NULL OR s.project_id IN (
                SELECT id FROM {platform.PROJECTS} own WHERE organization_id = ANY(:organizations)))
        OFFSET 0) s
    JOIN {platform.PROJECTS} p ON p.id = s.project_id
    JOIN {platform.ORGANIZATIONS} o ON o.id = p.organization_id
    JOIN jsonb_to_recordset(CAST(:allowances AS jsonb))
        AS allowed (tier text, meter text, included bigint, hard boolean) ON allowed.tier = o.tier
    CROSS JOIN LATERAL (
        SELECT allowed.meter, CASE allowed.meter {_USED} ELSE {_OWN} END AS used,
            CASE allowed.meter {_CORRECTED} {_OF_GAUGES} ELSE {_OWN_CORRECTED} END AS corrected,
            coalesce(part.included, allowed.included) AS included,
            coalesce(part.included <> allowed.included, false) AS in_proportion
            FROM (SELECT CASE WHEN :prorated THEN (CAST(:shares AS jsonb)
                ->> concat_ws(' ', p.id, allowed.meter, o.tier))::bigint END AS included) part
            OFFSET 0) AS used
    WHERE p.is_active AND (:project IS NOT NULL OR CAST(:near AS float) = 0
        OR used.used >= used.included * CAST(:near AS float))"""

PROJECTS = text(f"""{OF_PROJECTS}
    ORDER BY (used.used > used.included) DESC NULLS LAST, share DESC NULLS LAST, p.id, used.meter
    LIMIT :most""")

AT_ONCE = 2_500  # projects of one statement
CHUNKS = text("""
    SELECT max(project_id) FROM (
        SELECT project_id, (row_number() OVER (ORDER BY project_id) - 1) / :at_once AS chunk
        FROM project_stats) s GROUP BY chunk ORDER BY chunk""")


def projects(
    connection: Connection,
    versions: MonthVersions,
    at: datetime,
    near: float,
    behind: bool,
    project_id: int | None = None,
    most: int = 200,
) -> list[Row]:
    """Return the meters used to at least the share `near` of their allowance; of one project: every one.

    `behind`: some month before the running one is still open, so that its usage must be taken out.
    """
    only = None if project_id is None else [project_id]
    included = shares.of_projects(connection, versions, at, only)
    common = parameters(versions, at, near, behind, included) | {"project": project_id, "most": most}
    worst: list[Row] = []
    for above, up_to in _chunks(connection) if project_id is None else [(0, project_id)]:
        rows = connection.execute(PROJECTS, common | {"above": above, "up_to": up_to}).mappings()
        worst = sorted([*worst, *(_whole(dict(row)) for row in rows)], key=_worst_first)[:most]
    return worst


def _whole(row: dict[str, Any]) -> Row:
    """Return the row with usage as int: PostgreSQL sums beyond 64 bits as numeric."""
    return row | {"used": None if row["used"] is None else int(row["used"])}


def _chunks(connection: Connection) -> Iterable[tuple[int, int]]:
    """Return ranges of ids `(first, second]` with at most AT_ONCE projects each."""
    ends = list(connection.execute(CHUNKS, {"at_once": AT_ONCE}).scalars())
    return pairwise([0, *ends])


def _worst_first(row: Row) -> tuple[int, bool, float, int, str]:
    """Return the parameters by which PROJECTS sorts."""
    used, share = row["used"], row["share"]
    over = 2 if used is None else int(used <= row["included"])
    return over, share is None, -(share or 0.0), row["project_id"], row["meter"]


def parameters(
    versions: MonthVersions,
    at: datetime,
    near: float,
    behind: bool,
    included: Shares,
    meter: str | None = None,
) -> dict[str, Any]:
    """Return the parameters of OF_PROJECTS and OF_ORGANIZATIONS, of one meter or of each.

    `included`: the result of `shares.of_projects`.
    """
    return {
        "prorated": bool(included),
        "shares": json.dumps({f"{key[0]} {key[2]} {key[1]}": units for key, units in included.items()}),
        "tiers": json.dumps(organization_limits.tiers(versions.last)),
        "allowances": json.dumps(_allowances(versions.last, meter)),
        "first": Month.of(at).first.date,
        "near": near,
        "behind": behind,
        "project": None,
        "organizations": None,
        "above": 0,
        "up_to": 2**63 - 1,
    }


def _allowances(version: PlanVersion, only: str | None) -> list[dict[str, Any]]:
    return [
        {"tier": name, "meter": meter, "included": allowance.included, "hard": allowance.limit == "hard"}
        for name, tier in version.tiers.items()
        for meter, allowance in tier.meters.items()
        if only in (None, meter)
    ]
