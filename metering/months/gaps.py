"""Accept gaps, estimate the charge at risk in them, and read the status of each month."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.meters import COUNTER_NAMES, columns
from metering.catalogue.own_meters import LARGEST_NAMES, merged_sql
from metering.catalogue.periods import Month
from metering.catalogue.sources import COUNTER_SOURCES, quoted
from metering.db import audit_log
from metering.errors import UnknownGap
from metering.months import blockers, proration, sound_totals
from metering.pricing import rating
from metering.pricing.plans import Plans

NEIGHBOURS = 7  # days on either side of the gap that an estimate is made from


def accept(connection: Connection, gap_id: int, reason: str, actor: str, at: datetime) -> None:
    """Accept a gap, so that months can close over it. Raises UnknownGap, also if it is accepted already."""
    if not reason.strip():
        raise UnknownGap(f"accepting gap {gap_id} needs a reason; say why its usage may be left out")
    row = connection.execute(
        text("SELECT to_jsonb(g) FROM gaps g WHERE id = :id FOR UPDATE"), {"id": min(gap_id, 2**63 - 1)}
    ).scalar_one_or_none()
    if row is None:
        raise UnknownGap(f"there is no gap {gap_id}; fleetmeter status lists the open ones")
    if row["accepted_at"] or row["covered_at"]:
        how = f"accepted by {row['accepted_by']}" if row["accepted_at"] else "covered"
        raise UnknownGap(f"gap {gap_id} is already {how}; it blocks nothing")
    after = connection.scalar(
        text("""
            UPDATE gaps g SET accepted_at = :at, accepted_by = :actor, accepted_reason = :reason
            WHERE id = :id RETURNING to_jsonb(g)"""),
        {"id": gap_id, "reason": reason, "actor": actor, "at": at},
    )
    audit_log.record(connection, actor, "accept-gap", f"gap {gap_id}", row, after, reason, at)


@dataclass(frozen=True)
class MonthStatus:
    """A project's month. `state`: open, blocked, closed or history; `reason`: why it is not closed.

    `owners` and `later_readings` are those of the bill; empty without one.
    """

    project_id: int
    organization_id: int
    state: str
    reason: str | None
    closed_at: datetime | None
    closed_by: str | None
    days_present: int | None
    days_expected: int | None
    total_charge: Decimal | None
    currency: str | None
    owners: list[dict[str, Any]]
    later_readings: list[str]


def statuses(
    connection: Connection, month: Month, at: datetime, plans: Plans, project_id: int | None = None
) -> list[MonthStatus]:
    """Return the status of `month` at `at`, by project id, of projects with usage or days; or of one.

    It is that of fleetmeter_month_status in SQL. Two more reasons block here: a tier that is in no plan,
    and a total that no bill can hold.
    """
    rows = connection.execute(
        text("SELECT * FROM fleetmeter_month_status(:month, :at, :projects)"),
        {
            "month": month.first.date,
            "at": at,
            "projects": None if project_id is None else [project_id],
        },
    )
    statuses = [MonthStatus(**row) for row in rows.mappings()]
    over = [one.project_id for one in statuses if one.state in ("open", "blocked") and month.end <= at]
    for reasons in (
        blockers.unpriced(connection, month, over, plans),
        sound_totals.unsound_totals(connection, month, over, at),
    ):
        statuses = [_blocked_too(one, reasons.get(one.project_id)) for one in statuses]
    return statuses


def _blocked_too(status: MonthStatus, why: str | None) -> MonthStatus:
    if why is None:
        return status
    reasons = [why] if status.state == "open" else [status.reason or "", why]
    return replace(status, state="blocked", reason="; ".join(reasons))


# Usage of a day of the project's neighbouring ones, those with a gap left out, per counter; and the
# share of the gap's days in which nothing was counted.
NEIGHBOURING = text(f"""
    SELECT count(*) AS days, {columns("coalesce(round(avg(d.{0})), 0) AS {0}")}
    FROM daily_stats d WHERE d.project_id = :project
        AND d.date BETWEEN CAST(:start AS date) - :span AND CAST(:end AS date) + :span
        AND (d.date < CAST(:start AS date) OR d.date > CAST(:end AS date))""")

MONTH_SO_FAR = text(f"""
    SELECT count(*) AS days, (array_agg(tier ORDER BY date DESC))[1] AS tier,
        {columns("coalesce(sum({0}), 0) AS {0}")}, {proration.PEAKS}, {proration.AVERAGES},
        {merged_sql()} AS meters, {LARGEST_NAMES} AS largest_meters
    FROM daily_stats WHERE project_id = :project AND date BETWEEN :first AND :last""")


@dataclass(frozen=True)
class Risk:
    """An estimate of the unbilled usage of a gap: usage a day of the neighbouring days × gap length."""

    project_id: int
    neighbouring_days: int
    gap_days: Decimal
    usage: dict[str, int]
    charge: Decimal | None
    currency: str

    def __str__(self) -> str:
        if self.charge is None:
            return f"project {self.project_id}: no neighbouring day, or no price, to estimate from"
        return (
            f"project {self.project_id}: about {self.charge} {self.currency} at risk (estimate: the average "
            f"of {self.neighbouring_days} neighbouring days for {self.gap_days} days)"
        )


def at_risk(connection: Connection, project_id: int, start: datetime, end: datetime, plans: Plans) -> Risk:
    """Estimate the charge that ignoring the gap `[start, end)` would leave unbilled in its first month."""
    month = Month.of(start)
    end = min(end, month.end)
    version = plans.in_force(month.last.date)
    length = Decimal(round((end - start).total_seconds())) / 86_400
    bounds = {"project": project_id, "start": start, "end": end, "span": NEIGHBOURS}
    near = connection.execute(NEIGHBOURING, bounds).mappings().one()
    usage = {name: int(near[name] * length) for name in COUNTER_NAMES}
    parameters = month.bounds() | {"project": project_id}
    row = dict(connection.execute(MONTH_SO_FAR, parameters).mappings().one())
    if not near["days"] or row["tier"] not in version.tiers:
        return Risk(project_id, near["days"], round(length, 2), usage, None, version.currency)
    billed = rating.rate_spans(version, [proration.span_of(row, row["tier"])])
    more = {name: row[name] + usage[name] for name in COUNTER_NAMES}
    would = rating.rate_spans(version, [proration.span_of(row | more, row["tier"])])
    charge = would.total - billed.total
    return Risk(project_id, near["days"], round(length, 2), usage, charge, version.currency)


OPEN_OF = text(f"""
    SELECT p.id, greatest(g.starts_at, :start) AS starts_at, least(coalesce(g.ends_at, :end), :end) AS ends_at
    FROM fleetmeter_gaps() g JOIN {platform.PROJECTS} p ON g.project_ids IS NULL OR p.id = ANY(g.project_ids)
    WHERE p.id = ANY(:ids) AND g.covered_at IS NULL AND g.accepted_at IS NULL
        AND g.source IN {quoted(COUNTER_SOURCES)}
        AND g.starts_at < :end AND coalesce(g.ends_at, 'infinity') > :start
    ORDER BY p.id, g.starts_at LIMIT :most""")


def at_risk_in(
    connection: Connection, month: Month, project_ids: Sequence[int], plans: Plans, most: int = 20
) -> list[str]:
    """Return sentences about the charge at risk in the first `most` open gaps of `month`."""
    gaps = connection.execute(OPEN_OF, month.bounds() | {"ids": list(project_ids), "most": most}).all()
    return [str(at_risk(connection, row.id, row.starts_at, row.ends_at, plans)) for row in gaps]
