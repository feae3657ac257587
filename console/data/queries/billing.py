"""Months and their bills."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, text

from console.data.queries.rows import Row, every
from metering.catalogue import own_meters, platform, unknowns
from metering.catalogue.meters import METERS, columns, messages_sql
from metering.catalogue.own_meters import OwnMeter
from metering.catalogue.periods import Month
from metering.catalogue.unknowns import measured_columns
from metering.db.scope import own_parts

MONTHS = text("""
    SELECT year, month, count(*) AS bills FROM monthly_stats GROUP BY year, month
    ORDER BY year DESC, month DESC""")

BILLS = text(f"""
    SELECT m.project_id, coalesce(p.name, 'Project ' || m.project_id) AS project,
        m.organization_id, o.name AS organization, m.tier,
        m.plan_fee, m.overage_charge, m.adjustment_charge, m.total_charge, m.currency,
        m.days_present, m.days_expected, jsonb_array_length(m.exceeded_limits) AS lines_over,
        {own_parts("m.owners")} AS owners, m.later_readings,
        {columns("m.{0}")}, m.closed_by, m.created_at,
        before.total_charge AS charge_before, {measured_columns("m")}
    FROM (SELECT * FROM monthly_stats WHERE (year, month) = (:year, :month)
        ORDER BY total_charge DESC, project_id LIMIT :most OFFSET :skipped) m
    LEFT JOIN {platform.PROJECTS} p ON p.id = m.project_id
    JOIN {platform.ORGANIZATIONS} o ON o.id = m.organization_id
    LEFT JOIN monthly_stats before ON before.project_id = m.project_id
        AND (before.year, before.month) = (:year_before, :month_before) AND before.currency = m.currency
    ORDER BY m.total_charge DESC, m.project_id""")

TOTALS = text("""
    SELECT currency, count(*) AS bills, sum(plan_fee) AS plan_fee, sum(overage_charge) AS overage_charge,
        sum(adjustment_charge) AS adjustment_charge, sum(total_charge) AS total_charge,
        sum(days_present)::bigint AS days_present, sum(days_expected)::bigint AS days_expected,
        count(*) FILTER (WHERE days_present < days_expected) AS incomplete
    FROM monthly_stats WHERE (year, month) = (:year, :month) GROUP BY currency ORDER BY currency""")

LINES = text("""
    SELECT m.currency, line->>'meter' AS meter, count(*) AS projects,
        sum((line->>'overage')::numeric) FILTER (WHERE (line->>'charge')::numeric <> 0) AS charged,
        sum((line->>'overage')::numeric) FILTER (WHERE (line->>'charge')::numeric = 0) AS free,
        sum((line->>'charge')::numeric) AS charge
    FROM monthly_stats m CROSS JOIN LATERAL jsonb_array_elements(m.exceeded_limits) AS line
    WHERE (m.year, m.month) = (:year, :month) AND m.exceeded_limits <> '[]'
    GROUP BY m.currency, line->>'meter' ORDER BY charge DESC, meter""")

# As the state of each project's month says; while it runs, only those with a sealed day.
UNBILLED = text(f"""
    SELECT p.id AS project_id, p.name AS project,
        coalesce(o.name, 'Organization ' || s.organization_id) AS organization, s.state, s.reason,
        days.days_present, days.messages, days.api_calls
    FROM fleetmeter_month_status(:first, :at) s
    JOIN {platform.PROJECTS} p ON p.id = s.project_id
    LEFT JOIN {platform.ORGANIZATIONS} o ON o.id = s.organization_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS days_present, sum({messages_sql()})::bigint AS messages,
            sum(api_calls)::bigint AS api_calls
        FROM daily_stats d WHERE d.project_id = p.id AND d.date >= :first AND d.date <= :last) days
    WHERE s.state <> 'closed' AND (:end <= :at OR days.days_present > 0)
    ORDER BY p.id LIMIT :most""")


def months(connection: Connection, at: datetime) -> list[Month]:
    """Return the running month, the one before, and every month with a bill, newest first."""
    billed = [Month(row["year"], row["month"]) for row in every(connection, MONTHS)]
    running = Month.of(at)
    return sorted({running, running.previous(), *billed}, reverse=True)


def bills(connection: Connection, month: Month, most: int = 1_000, skipped: int = 0) -> list[Row]:
    """Return `most` bills of a month after the `skipped` highest, the highest first.

    Each has the charge of the month before, if there was one in its currency.
    """
    before = month.previous()
    rows = every(
        connection,
        BILLS,
        year=month.year,
        month=month.month,
        year_before=before.year,
        month_before=before.month,
        most=most,
        skipped=skipped,
    )
    return [unknowns.month(row) for row in rows]


def totals(connection: Connection, month: Month) -> list[Row]:
    """Return the sums of a month's bills, a row for each currency."""
    return every(connection, TOTALS, year=month.year, month=month.month)


def lines(connection: Connection, month: Month) -> list[Row]:
    """Return a month's use beyond allowances by meter and currency, with the meter's label and unit.

    The charges sum to the overage.
    """
    declared = own_meters.by_name(connection)
    return [_labelled(row, declared) for row in every(connection, LINES, **month.bounds())]


def _labelled(row: Row, declared: Mapping[str, OwnMeter]) -> Row:
    if row["meter"] in METERS:
        meter = METERS[row["meter"]]
        return {**row, "label": meter.label, "unit": meter.unit}
    own = own_meters.find(row["meter"], declared)
    return {**row, "label": own.title, "unit": own.unit}


def unbilled(connection: Connection, month: Month, at: datetime, most: int = 200) -> list[Row]:
    """Return the projects without a bill for `month`, by id, each with the reason; at most `most`.

    While the month runs at `at`, those with a sealed day in it.
    """
    bounds = {"first": month.first.date, "last": month.last.date, "end": month.end}
    return every(connection, UNBILLED, **bounds, at=at, most=most)
