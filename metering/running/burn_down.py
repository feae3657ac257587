"""Limits of the running month: the use of each allowance, its state, and when it will be exhausted.

Usage and allowances are those of `allowances`, which alerts read too; the projection is that of `spend`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import Connection, text

from metering.catalogue import own_meters, platform
from metering.catalogue.meters import GAUGE_NAMES, METERS
from metering.catalogue.own_meters import LARGEST_NAMES, OwnMeter
from metering.catalogue.periods import Day, Month
from metering.catalogue.sources import quoted
from metering.db import patterns
from metering.pricing.month_versions import MonthVersions
from metering.running import allowances, projection, shares
from metering.running.limit_states import NEAR, STATE
from metering.running.shares import Shares

Row = Mapping[str, Any]
Sort = Literal["share", "used", "included", "project", "organization", "meter", "tier"]

_STATE = STATE.format(used="near.used", included="near.included", hard="near.hard")
_ADDS_UP = f"(near.meter NOT IN {quoted(GAUGE_NAMES)} AND near.meter <> ALL ({LARGEST_NAMES}))"

# Allowances that can be exhausted before the month ends; a gauge stays at its level.
_HOURS_LEFT = projection.HOURS_TO.format(
    counted=f"CASE WHEN {_ADDS_UP} THEN near.used - near.corrected END",
    more="(near.included - near.used)",
    elapsed="hours.elapsed",
)
_WITH_HOURS = f"""
    SELECT near.*, hours.elapsed, hours.remaining, CASE WHEN near.used < near.included
        AND {_HOURS_LEFT} <= hours.remaining THEN {_HOURS_LEFT} END AS hours_left
    FROM ({{rows}}) near JOIN {{hours}}"""
_HOURS_OF_EACH = (
    f"projects p ON p.id = near.project_id CROSS JOIN LATERAL {projection.METERED_HOURS} AS hours"
)
_HOURS_OF_ALL = f"""(SELECT p.id, hours.* FROM {platform.PROJECTS} p
    CROSS JOIN LATERAL {projection.METERED_HOURS} AS hours OFFSET 0) hours ON hours.id = near.project_id"""
_MATCHES = f"""
    SELECT near.*, {_STATE} AS state, {_ADDS_UP} AS adds_up FROM ({allowances.OF_PROJECTS}) near
    WHERE (CAST(:near AS float) = 0 OR near.used > 0)
        AND (NOT :exhausting OR near.used < near.included AND near.used > near.corrected
            AND {_ADDS_UP})
        AND (CAST(:words AS text) IS NULL OR near.project ILIKE :words OR near.organization ILIKE :words)
        AND (CAST(:state AS text) IS NULL OR {_STATE} = :state)"""

# Unknown usage comes last; an allowance of 0 that is used is the worst.
_KEYS: Mapping[Sort, str] = {
    "share": "CASE WHEN included = 0 AND used > 0 THEN 'infinity' ELSE share END",
    "used": "used",
    "included": "included",
    "project": "project",
    "organization": "organization",
    "meter": "meter",
    "tier": "tier",
}


@dataclass(frozen=True)
class LimitsQuery:
    """A selection of limits: by id, meter, words of a name, state or least share; their order and page.

    `exhausting`: those that will be exhausted before the month ends and are not yet, the first one first.
    """

    near: float = 0.0
    project: int | None = None
    organization: int | None = None
    meter: str | None = None
    words: str = ""
    state: str | None = None
    exhausting: bool = False
    sort: Sort = "share"
    ascending: bool = False
    most: int = 50
    skipped: int = 0


def limits(
    connection: Connection,
    versions: MonthVersions,
    at: datetime,
    behind: bool,
    query: LimitsQuery,
) -> list[Row]:
    """Return a page of limits, a row for each project and meter that its tier names.

    `used` and `share` are None where usage is unknown; `projected` is the usage at the month's end, None
    where nothing is projected; `exhausted_at` is None there, where the allowance lasts the month, and
    where it is used up; `adds_up`: use of the month, not a level; `in_proportion`: a part of the plan's
    allowance. `behind`: see `allowances.projects`.
    """
    only = None if query.project is None else [query.project]
    included = shares.of_projects(connection, versions, at, only)
    parameters = _parameters(versions, at, behind, query, included)
    rows = connection.execute(text(_statement(query)), parameters).mappings()
    declared = own_meters.by_name(connection)
    return [_row(dict(row), declared, at) for row in rows]


_STATES_OF = f"""
    SELECT organization_id, state, count(*) AS limits FROM (
        SELECT near.organization_id, {_STATE} AS state FROM ({allowances.OF_PROJECTS}) near) states
    WHERE state IN ('hard', 'over', 'near') GROUP BY organization_id, state"""


def states_of(
    connection: Connection,
    versions: MonthVersions,
    at: datetime,
    behind: bool,
    organization_ids: Sequence[int],
) -> dict[int, dict[str, int]]:
    """Count the hard, over and near limits of each organization's projects, by state."""
    near = float(Decimal(NEAR) / 100)
    included = shares.of_projects(connection, versions, at)
    parameters = allowances.parameters(versions, at, near, behind, included)
    parameters |= {"organizations": list(organization_ids)}
    counts: dict[int, dict[str, int]] = {}
    for row in connection.execute(text(_STATES_OF), parameters):
        counts.setdefault(row.organization_id, {})[row.state] = row.limits
    return counts


def _statement(query: LimitsQuery) -> str:
    """Return the query; metered hours are looked up for one page, unless the order depends on them."""
    order, page = _order(query), "LIMIT :most OFFSET :skipped"
    if query.exhausting:
        dated = _WITH_HOURS.format(rows=_MATCHES, hours=_HOURS_OF_ALL)
        return f"SELECT * FROM ({dated}) dated WHERE hours_left IS NOT NULL ORDER BY {order} {page}"
    rows = f"{_MATCHES} ORDER BY {order} {page}"
    return f"{_WITH_HOURS.format(rows=rows, hours=_HOURS_OF_EACH)} ORDER BY {order}"


def _order(query: LimitsQuery) -> str:
    if query.exhausting:
        return "hours_left, project_id, meter"
    direction = "ASC" if query.ascending else "DESC"
    return f"{_KEYS[query.sort]} {direction} NULLS LAST, project_id, meter"


def _parameters(
    versions: MonthVersions, at: datetime, behind: bool, query: LimitsQuery, included: Shares
) -> dict[str, Any]:
    own = {
        "project": query.project,
        "organizations": None if query.organization is None else [query.organization],
        "exhausting": query.exhausting,
        "words": _pattern(query.words),
        "state": query.state,
        "most": query.most,
        "skipped": query.skipped,
        "at": at,
        "today": Day.of(at).date,
    }
    common = allowances.parameters(versions, at, query.near, behind, included, query.meter)
    return common | Month.of(at).bounds() | own


def _pattern(words: str) -> str | None:
    return patterns.containing(words) if words.strip() else None


def _row(row: dict[str, Any], declared: Mapping[str, OwnMeter], at: datetime) -> Row:
    hours, used = row.pop("hours_left"), row["used"]
    used = None if used is None else int(used)
    exhausted = None if hours is None else at + timedelta(hours=float(hours))
    meter = METERS.get(row["meter"])
    own = own_meters.find(row["meter"], declared)
    return row | {
        "label": meter.label if meter else own.title,
        "unit": meter.unit if meter else own.unit,
        "used": used,
        "exhausted_at": exhausted,
        "projected": _projected(row, used),
    }


def _projected(row: Row, used: int | None) -> int | None:
    if used is None or not row["adds_up"]:
        return used
    if row["elapsed"] < projection.LEAST_KNOWN:
        return None
    return used + projection.rest(used - int(row["corrected"]), row["elapsed"], row["remaining"])
