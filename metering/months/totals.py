"""Totals of a month for the close to rate: a row for each project with days or corrections to bill."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.history import DAYS_OFF, OWNER_OF_PERIOD, READ_LATER, TIER_AT
from metering.catalogue.meters import COUNTER_NAMES, GAUGE_NAMES, columns
from metering.catalogue.own_meters import LARGEST_NAMES
from metering.catalogue.periods import Month
from metering.catalogue.projects import IS_BILLED, METERED_UNTIL
from metering.days.expected_days import EXPECTED_FROM
from metering.months.own_quantities import ADJUSTMENTS, with_adjustments
from metering.months.proration import AVERAGES, MERGED, PEAKS

_TOTALS = f"""
    SELECT p.id AS project_id, o.id AS organization_id, {TIER_AT.format(end=":end")} AS tier,
        {READ_LATER.format(end=":end")} AS later_readings,
        coalesce(days.lowest_owner <> o.id OR days.highest_owner <> o.id, false) AS is_divided,
        coalesce(days.days_present, 0) AS days_present,
        {columns("coalesce(days.{0}, 0) + coalesce(a.{0}, 0) AS {0}")},
        {columns("coalesce(days.{0}, 0) AS counted_{0}")},
        {with_adjustments("days.meters", "a.meters")} AS meters, {LARGEST_NAMES} AS largest_meters,
        coalesce(days.meters, jsonb_build_object()) AS counted_meters,
        {columns("days.peak_{0}, days.avg_{0}", GAUGE_NAMES)},
        coalesce(a.amount, 0) AS adjustment_charge, coalesce(previous.seal, '') AS previous_seal,
        greatest(days.days_present, 0, expected.until - expected.first
            - {DAYS_OFF.format(first="expected.first", until="expected.until")}) AS days_expected
    FROM {platform.PROJECTS} p {OWNER_OF_PERIOD.format(end=":end")}
    CROSS JOIN LATERAL (SELECT greatest(CAST(:start AS timestamptz), {EXPECTED_FROM})::date AS first,
        least(CAST(:end AS timestamptz), {METERED_UNTIL})::date AS until) expected
    LEFT JOIN (
        SELECT project_id, count(*) AS days_present,
            min(organization_id) AS lowest_owner, max(organization_id) AS highest_owner,
            {columns("sum({0}) AS {0}")}, {MERGED} AS meters, {PEAKS}, {AVERAGES}
        FROM {{days}} d WHERE project_id = ANY(:ids) AND date >= :first AND date <= :last
        GROUP BY project_id) days ON days.project_id = p.id
    LEFT JOIN LATERAL (
        SELECT count(*) AS posted,
            sum(amount) FILTER (WHERE coalesce(currency, :currency) = :currency) AS amount,
            {columns("sum(quantity) FILTER (WHERE meter = '{0}' AND amount IS NULL) AS {0}")},
            {ADJUSTMENTS} AS meters
        FROM adjustments x WHERE x.project_id = p.id AND x.posted_month = :first) a ON true
    LEFT JOIN LATERAL (
        SELECT seal FROM monthly_stats m WHERE m.project_id = p.id
        ORDER BY year DESC, month DESC LIMIT 1) previous ON true
    WHERE p.id = ANY(:ids) AND (days.days_present > 0 OR a.posted > 0)
        AND {IS_BILLED.format(project="p.id", month="CAST(:first AS date)")} AND NOT EXISTS (
        SELECT FROM monthly_stats m
        WHERE m.project_id = p.id AND (m.year, m.month) = (:year, :month))
    ORDER BY p.id"""


def totals(
    connection: Connection,
    month: Month,
    project_ids: Sequence[int],
    currency: str,
    days: str = "daily_stats",
    at: datetime | None = None,
) -> list[dict[str, Any]]:
    """Return the totals of projects that have something to bill in `month` and no bill for it, by id.

    Counters with the adjustments of the month's own days, `counted_` without them, `peak_` and `avg_` of
    each gauge, `meters` and `counted_meters` of the platform's own, `largest_meters` (those with max), owner
    and tier at the month's end, `adjustment_charge` (the amounts posted to the month in `currency`),
    `days_present` (0 for a project that has corrections only), `days_expected`, `previous_seal`. `days`: SQL
    of the days, at the instant `at`.
    """
    parameters = {"ids": list(project_ids), "currency": currency, "at": at, "month_start": month.start}
    rows = connection.execute(text(_TOTALS.format(days=days)), month.bounds() | parameters)
    return [_whole(dict(row)) for row in rows.mappings()]


def _whole(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with counters as int: PostgreSQL sums beyond 64 bits as numeric."""
    names = (*COUNTER_NAMES, *(f"counted_{name}" for name in COUNTER_NAMES))
    return row | {name: int(row[name]) for name in names}
