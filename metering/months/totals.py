"""Totals of a month: what the close rates, a row for each project that has days or corrections to bill."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue.history import DAYS_OFF, OWNER_AT, READ_LATER, TIER_AT
from metering.catalogue.meters import GAUGE_NAMES, columns
from metering.catalogue.periods import Month
from metering.catalogue.projects import IS_BILLED, METERED_UNTIL
from metering.days.coverage import EXPECTED_FROM
from metering.months.proration import AVERAGES, PEAKS

TOTALS = text(f"""
    SELECT p.id AS project_id, o.id AS organization_id, {TIER_AT.format(end=":end")} AS tier,
        {READ_LATER.format(end=":end")} AS later_readings, days.is_divided, days.days_present,
        {columns("coalesce(days.{0}, 0) + coalesce(a.{0}, 0) AS {0}")},
        {columns("days.peak_{0}, days.avg_{0}", GAUGE_NAMES)},
        coalesce(a.amount, 0) AS adjustment_charge, coalesce(previous.seal, '') AS previous_seal,
        greatest(days_present, expected.until - expected.first
            - {DAYS_OFF.format(first="expected.first", until="expected.until")}) AS days_expected
    FROM projects p JOIN organizations o ON o.id = {OWNER_AT.format(end=":end")}
    CROSS JOIN LATERAL (SELECT greatest(CAST(:start AS timestamptz), {EXPECTED_FROM})::date AS first,
        least(CAST(:end AS timestamptz), {METERED_UNTIL})::date AS until) expected
    CROSS JOIN LATERAL (
        SELECT count(*) AS days_present, bool_or(d.organization_id <> o.id) AS is_divided,
            {columns("sum({0})::bigint AS {0}")}, {PEAKS}, {AVERAGES}
        FROM daily_stats d WHERE d.project_id = p.id AND d.date >= :first AND d.date <= :last) days
    LEFT JOIN LATERAL (
        SELECT count(*) AS posted,
            sum(amount) FILTER (WHERE coalesce(currency, :currency) = :currency) AS amount,
            {columns("sum(quantity) FILTER (WHERE meter = '{0}' AND amount IS NULL)::bigint AS {0}")}
        FROM adjustments x WHERE x.project_id = p.id AND x.posted_month = :first) a ON true
    LEFT JOIN LATERAL (
        SELECT seal FROM monthly_stats m WHERE m.project_id = p.id
        ORDER BY year DESC, month DESC LIMIT 1) previous ON true
    WHERE p.id = ANY(:ids) AND (days_present > 0 OR a.posted > 0)
        AND {IS_BILLED.format(project="p.id", month="CAST(:first AS date)")} AND NOT EXISTS (
        SELECT FROM monthly_stats m
        WHERE m.project_id = p.id AND (m.year, m.month) = (:year, :month))
    ORDER BY p.id""")


def totals(
    connection: Connection, month: Month, project_ids: Sequence[int], currency: str
) -> list[dict[str, Any]]:
    """Return the totals of those projects that have something to bill in `month` and no bill for it, by id.

    Counters with the adjustments of the month's own days, `peak_` and `avg_` of each gauge, owner and tier
    at the month's end, `adjustment_charge` (the amounts posted to the month in `currency`), `days_present`
    (0 for a project that has corrections only), `days_expected`, `previous_seal`.
    """
    parameters = {"ids": list(project_ids), "currency": currency}
    rows = connection.execute(TOTALS, month.bounds() | parameters)
    return [dict(row) for row in rows.mappings()]
