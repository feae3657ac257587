"""Customers: organizations with their bills, their projects, and projects that changed owner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, text

from console.data.queries.rows import Row, every
from metering.catalogue import platform
from metering.catalogue.month_sql import first_of_month
from metering.catalogue.periods import Month
from metering.db import patterns
from metering.running.organization_spend import OrganizationSpend

Sort = Literal["so_far", "projected", "last_month", "change", "organization", "projects", "incidents"]
SORTS: Mapping[Sort, str] = {
    "so_far": "Bill so far",
    "projected": "Projected",
    "last_month": "Last month",
    "change": "Change",
    "projects": "Projects",
    "incidents": "Incidents",
    "organization": "Name",
}

_TOTALS = """SELECT organization_id, currency, sum(total_charge) AS total FROM monthly_stats
    WHERE (year, month) = ({year}, {month}) GROUP BY organization_id, currency"""

# A row for each currency in which an organization has a bill: two currencies are never added.
_LISTED = f"""
    WITH run (organization_id, currency, so_far, projected) AS (
        SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:currencies AS text[]),
            CAST(:so_far AS numeric[]), CAST(:projected AS numeric[]))),
    last AS ({_TOTALS.format(year=":year", month=":month")}),
    before AS ({_TOTALS.format(year=":year_before", month=":month_before")}),
    charged AS (SELECT organization_id, currency FROM run UNION SELECT organization_id, currency FROM last),
    own AS (SELECT organization_id, count(*) AS projects FROM {platform.PROJECTS} p WHERE is_active
        GROUP BY organization_id),
    alerted AS (SELECT coalesce(a.organization_id, p.organization_id) AS organization_id,
            count(*) AS incidents
        FROM alerts a LEFT JOIN {platform.PROJECTS} p ON p.id = a.project_id
        WHERE a.resolved_at IS NULL GROUP BY 1)
    SELECT o.id, o.name AS organization, o.tier, coalesce(own.projects, 0) AS projects, charged.currency,
        run.so_far, run.projected, last.total AS last_month, last.total - before.total AS change,
        coalesce(alerted.incidents, 0) AS incidents, count(*) OVER () AS listed
    FROM {platform.ORGANIZATIONS} o
    LEFT JOIN charged ON charged.organization_id = o.id
    LEFT JOIN run ON (run.organization_id, run.currency) = (o.id, charged.currency)
    LEFT JOIN last ON (last.organization_id, last.currency) = (o.id, charged.currency)
    LEFT JOIN before ON (before.organization_id, before.currency) = (o.id, charged.currency)
    LEFT JOIN own ON own.organization_id = o.id LEFT JOIN alerted ON alerted.organization_id = o.id
    WHERE CAST(:pattern AS text) IS NULL OR o.name ILIKE :pattern OR o.id::text = :words
    ORDER BY {{order}} NULLS LAST, o.id, charged.currency LIMIT :most OFFSET :skipped"""

_ONE = text(f"SELECT id, name, tier, created_at FROM {platform.ORGANIZATIONS} o WHERE id = :id")

_PROJECTS = text(f"""
    SELECT p.id AS project_id, p.name AS project, p.is_active, last.total_charge AS last_month,
        last.currency, last.total_charge - before.total_charge AS change,
        (SELECT count(*) FROM alerts a WHERE a.project_id = p.id AND a.resolved_at IS NULL) AS incidents
    FROM {platform.PROJECTS} p
    LEFT JOIN monthly_stats last ON last.project_id = p.id AND (last.year, last.month) = (:year, :month)
    LEFT JOIN monthly_stats before ON before.project_id = p.id
        AND (before.year, before.month) = (:year_before, :month_before) AND before.currency = last.currency
    WHERE p.organization_id = :id ORDER BY p.is_active DESC, last.total_charge DESC NULLS LAST, p.id
    LIMIT :most""")

# The owners of the days in a bill with several owners; an owner out of scope is left out.
_MOVED = text(f"""
    SELECT m.project_id, p.name AS project, m.year, m.month, o.id AS owner_id, o.name AS owner,
        (part->>'days')::int AS days, part->'usage' AS usage, m.organization_id = o.id AS is_billed
    FROM monthly_stats m CROSS JOIN LATERAL jsonb_array_elements(m.owners) AS part
    JOIN {platform.ORGANIZATIONS} o ON o.id = (part->>'organization_id')::bigint
    LEFT JOIN {platform.PROJECTS} p ON p.id = m.project_id
    WHERE m.owners <> '[]' AND {first_of_month("m")} >= :since AND (m.organization_id = :id
        OR m.owners @> jsonb_build_array(jsonb_build_object('organization_id', CAST(:id AS bigint))))
    ORDER BY m.year DESC, m.month DESC, m.project_id, (part->>'days')::int DESC LIMIT 200""")


@dataclass(frozen=True)
class CustomerFilter:
    """A filter of the list of customers: words of a name or an id, with the order and the page."""

    words: str = ""
    sort: Sort = "so_far"
    most: int = 50
    skipped: int = 0


def listing(
    connection: Connection, month: Month, spends: Sequence[OrganizationSpend], filters: CustomerFilter
) -> list[Row]:
    """Return a page of organizations, with `spends` as the bill so far of the running month `month`.

    A row for each organization and currency; `so_far` is None where nothing was rated, `listed` the number
    of rows on all pages.
    """
    words = filters.words.strip()
    order = "organization" if filters.sort == "organization" else f"{filters.sort} DESC"
    return every(
        connection,
        text(_LISTED.format(order=order)),
        **_before(month),
        **_columns(spends),
        words=words,
        pattern=patterns.containing(words) if words else None,
        most=filters.most,
        skipped=filters.skipped,
    )


def _columns(spends: Sequence[OrganizationSpend]) -> dict[str, Any]:
    return {
        "ids": [one.organization_id for one in spends],
        "currencies": [one.currency for one in spends],
        "so_far": [one.so_far for one in spends],
        "projected": [one.projected for one in spends],
    }


def _before(month: Month) -> dict[str, int]:
    last, before = month.previous(), month.previous().previous()
    return {
        "year": last.year,
        "month": last.month,
        "year_before": before.year,
        "month_before": before.month,
    }


def find(connection: Connection, organization_id: int) -> Row | None:
    """Return one organization, None where there is none of that id."""
    return next(iter(every(connection, _ONE, id=organization_id)), None)


def projects(connection: Connection, organization_id: int, month: Month, most: int = 1_000) -> list[Row]:
    """Return an organization's projects with their bills before the running `month`, active ones first."""
    return every(connection, _PROJECTS, id=organization_id, most=most, **_before(month))


def moved(connection: Connection, organization_id: int, month: Month) -> list[Row]:
    """Return the days and usage of each owner in bills since `month` that hold the days of several."""
    return every(connection, _MOVED, id=organization_id, since=month.first.date)
