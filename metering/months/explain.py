"""Explain a charge: bill -> line -> plan version -> days -> hours, with source and coverage."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import own_meters, platform, projects
from metering.catalogue.meters import METERS, STORAGE_PARTS
from metering.catalogue.own_meters import LARGEST_NAMES, OwnMeter
from metering.catalogue.periods import Day, Month
from metering.catalogue.sources import COUNTER_SOURCES, quoted
from metering.db.scope import own_parts
from metering.errors import PeriodError
from metering.months import proration, rated, rerate, stored_versions
from metering.pricing import month_versions
from metering.pricing.charge_models import parts
from metering.pricing.month_versions import MonthVersions
from metering.pricing.rating import Bill, Line


@dataclass(frozen=True)
class ExplainedDay:
    """A sealed day's part of a line: its quantity, its hash, how it was measured, its hours."""

    date: date
    quantity: int | None
    coverage: dict[str, Any]
    row_hash: str
    hours: dict[datetime, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ExplainedLine:
    """A meter: the arithmetic of its charge, and the days and adjustments that make `used`."""

    line: Line
    arithmetic: str
    days: list[ExplainedDay]
    adjusted: int


@dataclass(frozen=True)
class Explanation:
    """A closed month's bill and everything it came from. `agrees`: rating again gives that bill.

    `gaps`: when a counter source was blind in it, and who accepted that, or that it was covered.
    `own_meters`: the platform's own meters by name, for their titles and units.
    """

    bill: dict[str, Any]
    versions: MonthVersions
    lines: list[ExplainedLine]
    adjustments: list[dict[str, Any]]
    gaps: list[dict[str, Any]]
    agrees: bool
    own_meters: dict[str, OwnMeter]


def explain(connection: Connection, project_id: int, month: Month, with_hours: bool = True) -> Explanation:
    """Explain a closed month; without hours, `hours_of` reads those of a day.

    Raises UnknownProject, and PeriodError while the month is not closed.
    """
    projects.require(connection, project_id, platform.FORMER_PROJECTS)
    bounds = month.bounds() | {"project": project_id}
    row = connection.execute(BILL, bounds).mappings().one_or_none()
    if row is None:
        raise PeriodError(
            f"{month} is not closed for project {project_id}; there is no charge to explain yet"
        )
    bill = dict(row)
    bill["owners"] = bill.pop("own_owners")  # an organization sees no other owner
    versions = month_versions.of_bill(bill, stored_versions.load(connection, [bill]))
    days = [dict(row) for row in connection.execute(DAYS, bounds).mappings()]
    hours = [dict(row) for row in connection.execute(HOURS, bounds).mappings()] if with_hours else []
    adjustments = [dict(row) for row in connection.execute(ADJUSTMENTS, bounds).mappings()]
    gaps = [dict(row) for row in connection.execute(GAPS, bounds).mappings()]
    again = _rated_again(connection, bill, versions, month)
    lines = [
        _line(line, [day for day in days if _is_part(day, line, versions)], hours, adjustments)
        for line in again.lines
    ]
    agrees = not list(rerate.of_bill(bill, again))
    return Explanation(bill, versions, lines, adjustments, gaps, agrees, own_meters.by_name(connection))


def hours_of(connection: Connection, project_id: int, day: Day, meter: str) -> dict[datetime, int]:
    """Return the hours of a day that have usage of a counter, or of a gauge its samples."""
    parameters = {"project": project_id, "start": day.start, "end": day.end}
    rows = connection.execute(HOURS, parameters).mappings()
    quantities = {row["hour"]: _quantity(meter, dict(row)) for row in rows}
    return {hour: quantity for hour, quantity in quantities.items() if quantity}


BILL = text(f"""
    SELECT m.*, p.name AS project, {own_parts("m.owners")} AS own_owners FROM monthly_stats m
    JOIN {platform.FORMER_PROJECTS} p ON p.id = m.project_id
    WHERE m.project_id = :project AND m.year = :year AND m.month = :month""")
DAYS = text("""
    SELECT * FROM daily_stats WHERE project_id = :project AND date BETWEEN :first AND :last
    ORDER BY date""")
HOURS = text("""
    SELECT * FROM usage_hourly WHERE project_id = :project AND hour >= :start AND hour < :end
    ORDER BY hour""")
ADJUSTMENTS = text("""
    SELECT id, meter, quantity, amount, currency, usage_date, reason, fleetmeter_staff(actor) AS actor
    FROM adjustments
    WHERE project_id = :project AND posted_month = :first ORDER BY id""")
GAPS = text(f"""
    SELECT id, source, starts_at, ends_at, reason, covered_at, accepted_by, accepted_reason
    FROM fleetmeter_gaps()
    WHERE (project_ids IS NULL OR :project = ANY(project_ids)) AND source IN {quoted(COUNTER_SOURCES)}
        AND starts_at < :end AND coalesce(ends_at, 'infinity') > :start ORDER BY starts_at, id""")
LEVELS = text(f"""
    SELECT {proration.AVERAGES}, {LARGEST_NAMES} AS largest_meters FROM daily_stats
    WHERE project_id = :project AND date BETWEEN :first AND :last""")


def _rated_again(connection: Connection, bill: dict[str, Any], versions: MonthVersions, month: Month) -> Bill:
    project = bill["project_id"]
    averages = dict(connection.execute(LEVELS, month.bounds() | {"project": project}).mappings().one())
    spans = proration.spans(connection, month, [project], versions) if versions.last.prorate else {}
    return rated.rate(bill | averages, spans.get(project, []), versions)


def _is_part(day: dict[str, Any], line: Line, versions: MonthVersions) -> bool:
    if line.days == line.of:
        return True
    return day["tier"] == line.tier and versions.on(day["date"]) == (line.version or versions.last)


def _line(
    line: Line, days: list[dict[str, Any]], hours: list[dict[str, Any]], adjustments: list[dict[str, Any]]
) -> ExplainedLine:
    meter = line.meter
    by_day: dict[date, dict[datetime, int]] = {}
    for row in hours:
        if used := _quantity(meter, row):
            by_day.setdefault(row["hour"].date(), {})[row["hour"]] = used
    explained_days = [
        ExplainedDay(
            day["date"],
            _quantity(meter, day),
            _coverage(meter, day),
            day["row_hash"],
            by_day.get(day["date"], {}),
        )
        for day in days
    ]
    quantities = [row["quantity"] for row in adjustments if row["meter"] == meter and row["amount"] is None]
    adjusted = max(quantities, default=0) if line.is_largest else sum(quantities)
    return ExplainedLine(line, arithmetic(line), explained_days, adjusted)


def _quantity(meter: str, row: dict[str, Any]) -> int | None:
    """Return the quantity of `meter` in an hour or a day; None: unknown."""
    if meter in METERS:
        quantity: int | None = row[meter]
        return quantity
    return int(row["meters"].get(meter, 0))


def _coverage(meter: str, day: dict[str, Any]) -> dict[str, Any]:
    if meter not in METERS:  # it has no source that could be blind: its clients repeat
        return {}
    measured = METERS[meter].source
    sources = [measured] if measured else [METERS[part].source for part in STORAGE_PARTS]
    return {str(source): day["coverage"].get(source, {}) for source in sources}


def arithmetic(line: Line) -> str:
    """Write out the calculation of the charge."""
    if line.used is None:
        return "never sampled: unknown, nothing charged"
    used, included = _number(line.used), f"{line.included:,}"
    if line.overage <= 0:
        return f"{used} used, {included} included: nothing charged"
    over = f"{used} used - {included} included = {_number(line.overage)} over"
    if line.allowance.overage is None:
        return f"{over}; the plan charges nothing for it"
    terms = parts(line.allowance.overage, line.overage)
    sums = " + ".join(
        f"{_number(part.quantity)} {part.unit} x {part.price:f}"
        + (f" + fee {part.fee:f}" if part.fee else "")
        for part in terms
    )
    exact = sum((part.charge for part in terms), start=Decimal(0))
    share = ""
    if line.days != line.of and not line.is_counted:
        share = f", for {line.days} of {line.of} days"
    return f"{over}; {line.allowance.overage.model}: {sums} = {exact:f}{share} -> {line.charge}"


def _number(quantity: Decimal) -> str:
    return f"{quantity.normalize():,f}"
