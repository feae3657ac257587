"""One project: its selection, running totals, days, hours and months."""

from sqlalchemy import Connection, text

from console.data.queries.rows import Row, every
from metering.catalogue import platform, unknowns
from metering.catalogue.meters import COUNTER_NAMES, GAUGE_NAMES, columns
from metering.catalogue.periods import Day, days
from metering.catalogue.projects import METERED_UNTIL
from metering.catalogue.unknowns import measured_columns
from metering.days.expected_days import EXPECTED_FROM, OWNED_FROM

_LISTED = f"""SELECT p.id, p.name, o.name AS organization, p.is_active FROM {platform.PROJECTS} p
    JOIN {platform.ORGANIZATIONS} o ON o.id = p.organization_id"""
FIRST = text(f"""
    ({_LISTED} WHERE p.is_active ORDER BY p.id LIMIT :most) UNION ALL
    ({_LISTED} WHERE NOT p.is_active ORDER BY p.id LIMIT :most) LIMIT :most""")

ONE = text(f"""
    SELECT p.id, p.name, p.organization_id, o.name AS organization, o.tier, p.is_active, p.created_at,
        p.deactivated_at, greatest({EXPECTED_FROM}, {OWNED_FROM}) AS expected_from,
        {METERED_UNTIL} AS metered_until
    FROM {platform.PROJECTS} p
    JOIN {platform.ORGANIZATIONS} o ON o.id = p.organization_id WHERE p.id = :id""")

LIVE = text("SELECT * FROM project_stats WHERE project_id = :id")

DAYS = text(f"""
    SELECT date, {columns("{0}")}, {columns("{0}", GAUGE_NAMES)}, coverage FROM daily_stats
    WHERE project_id = :id AND date >= :first AND date <= :last ORDER BY date""")

HOURS = text(f"""
    SELECT hour, {columns("{0}")}, {columns("{0}", GAUGE_NAMES)}, measured FROM usage_hourly
    WHERE project_id = :id AND hour >= :start AND hour < :end ORDER BY hour""")

MONTHS = text(f"""
    SELECT {measured_columns("monthly_stats")}, year, month,
        {columns("{0}")}, {columns("peak_{0}", GAUGE_NAMES)}, tier, plan_fee,
        overage_charge, adjustment_charge, total_charge, currency, days_present, days_expected, seal
    FROM monthly_stats WHERE project_id = :id ORDER BY year DESC, month DESC LIMIT 36""")


ANOMALIES = text("""
    SELECT CAST(detail->>'date' AS date) AS date, detail->>'meter' AS meter, detail->>'reason' AS reason
    FROM alerts WHERE kind = 'anomaly' AND project_id = :id
        AND CAST(detail->>'date' AS date) BETWEEN :first AND :last ORDER BY date""")


def anomalies(connection: Connection, project_id: int, first: Day, last: Day) -> list[Row]:
    """Return the sealed days of the range with an unusual meter, each with its reason."""
    return every(connection, ANOMALIES, id=project_id, first=first.date, last=last.date)


def first(connection: Connection, most: int = 50) -> list[Row]:
    """Return the first projects by id, at most `most`: those that are active, then the others."""
    return every(connection, FIRST, most=most)


def find(connection: Connection, project_id: int) -> Row | None:
    """Return one project; None when the platform has none of that id."""
    if not 0 < project_id < 2**63:
        return None
    return next(iter(every(connection, ONE, id=project_id)), None)


def live(connection: Connection, project_id: int) -> Row | None:
    """Return the running totals; None if nothing was ever counted."""
    row = next(iter(every(connection, LIVE, id=project_id)), None)
    return None if row is None else unknowns.live(row)


def trend(connection: Connection, project_id: int, first: Day, last: Day) -> list[Row]:
    """Return a row for each day of the range; None for unknown meters, and for all of an unsealed day."""
    rows = every(connection, DAYS, id=project_id, first=first.date, last=last.date)
    sealed = {row["date"]: unknowns.day(row) for row in rows}
    blank = dict.fromkeys((*COUNTER_NAMES, *GAUGE_NAMES, "coverage"))
    return [sealed.get(day.date, {"date": day.date, **blank}) for day in days(first, last)]


def hours(connection: Connection, project_id: int, day: Day) -> list[Row]:
    """Return the hours of that day that have usage; None for meters not measured in an hour."""
    return [
        unknowns.hour(row) for row in every(connection, HOURS, id=project_id, start=day.start, end=day.end)
    ]


def months(connection: Connection, project_id: int) -> list[Row]:
    """Return closed months, newest first, at most three years."""
    return [unknowns.month(row) for row in every(connection, MONTHS, id=project_id)]
