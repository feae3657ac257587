"""Totals that a bill can hold: of a project with days in the month, from 0 to 2^63 - 1."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import own_meters, platform
from metering.catalogue.history import DAYS_OFF
from metering.catalogue.meters import COUNTER_NAMES, columns
from metering.catalogue.month_sql import first_of_month
from metering.catalogue.own_meters import quantities
from metering.catalogue.periods import Month
from metering.catalogue.projects import METERED_FROM, METERED_UNTIL
from metering.days.expected_days import EXPECTED_FROM
from metering.errors import AdjustmentRefused
from metering.months.days_so_far import DAYS_SO_FAR
from metering.months.totals import totals

MOST = 2**63 - 1  # what a bigint holds

# Hours of the project `:project` in the month that no sealed day has yet.
_UNSEALED = """usage_hourly u WHERE u.project_id = :project AND u.hour >= :start AND u.hour < :end
    AND NOT EXISTS (SELECT FROM daily_stats d WHERE d.project_id = u.project_id
        AND d.date = (u.hour AT TIME ZONE 'UTC')::date)"""

# The first day that is expected or still open: in the installation's month, earlier days are sealed too.
_FROM = f"least({EXPECTED_FROM}, greatest({METERED_FROM}, s.open_from))"

# Whether the month has a day to bill: as billed, else an expected day, an open or sealed one, or hours with
# usage.
HAS_DAYS = text(f"""
    SELECT coalesce(
        (SELECT m.days_present > 0 FROM monthly_stats m WHERE m.project_id = p.id
            AND (m.year, m.month) = (:year, :month)),
        days.until - days.first - {DAYS_OFF.format(first="days.first", until="days.until")} > 0
        OR EXISTS (SELECT FROM daily_stats d WHERE d.project_id = p.id AND d.date BETWEEN :first AND :last)
        OR EXISTS (SELECT FROM {_UNSEALED} AND (greatest({columns("u.{0}")}) > 0 OR u.meters <> '{{}}')))
    FROM {platform.PROJECTS} p LEFT JOIN project_stats s ON s.project_id = p.id CROSS JOIN LATERAL (
        SELECT greatest(CAST(:start AS timestamptz), {_FROM})::date AS first,
            least(CAST(:end AS timestamptz), {METERED_UNTIL})::date AS until) days
    WHERE p.id = :project""")

# The total of a meter in an open month, and over all months, with the corrections that are billed like usage.
_USED = f"""
    SELECT coalesce((SELECT sum({{day}}) FROM daily_stats d
            WHERE d.project_id = :project AND d.date BETWEEN :first AND :last), 0)
        + coalesce((SELECT sum({{hour}}) FROM {_UNSEALED}), 0)
        + coalesce(sum(x.quantity) FILTER (WHERE x.posted_month = :first), 0) AS in_month,
        (SELECT {{lifetime}} + {{open}} FROM project_stats s WHERE s.project_id = :project)
        + coalesce(sum(x.quantity) FILTER (WHERE NOT EXISTS (SELECT FROM monthly_stats m
            WHERE m.project_id = x.project_id AND {first_of_month("m")} = x.posted_month)), 0) AS ever
    FROM adjustments x WHERE x.project_id = :project AND x.meter = :meter AND x.amount IS NULL"""

# Projects with corrections that are billed like usage: without one a total cannot be negative.
_CORRECTED = text("""
    SELECT DISTINCT project_id FROM adjustments
    WHERE project_id = ANY(:ids) AND posted_month = :first AND quantity IS NOT NULL AND amount IS NULL""")


def has_days(connection: Connection, project_id: int, month: Month) -> bool:
    """Return whether `month` has a day of the project to bill: it was on, or has usage."""
    return bool(connection.scalar(HAS_DAYS, month.bounds() | {"project": project_id}))


def refuse_without_days(connection: Connection, project_id: int, month: Month) -> None:
    """Refuse a quantity about a `month` in which the project was off throughout: it would be worth nothing.

    Raises AdjustmentRefused.
    """
    if not has_days(connection, project_id, month):
        raise AdjustmentRefused(
            f"project {project_id} was off in {month} and used nothing in it; correct a month "
            "in which it was on, or post an amount"
        )


def refuse_open(connection: Connection, project_id: int, month: Month, meter: str, quantity: int) -> None:
    """Refuse a quantity that makes a total of an open `month`, or of all months, impossible.

    Raises AdjustmentRefused.
    """
    parameters = month.bounds() | {"project": project_id, "meter": meter}
    row = connection.execute(text(_USED.format(**_of_meter(meter))), parameters).one()
    refuse(project_id, month, meter, int(row.in_month), quantity)
    if quantity > 0 and row.ever + quantity > MOST:
        raise _too_much(f"{int(row.ever):,} {meter} in all months", project_id, quantity)


def refuse(project_id: int, month: Month, meter: str, used: int, quantity: int) -> None:
    """Refuse a quantity that makes the `used` of `month` negative or too large.

    Raises AdjustmentRefused.
    """
    if quantity < 0 and used + quantity < 0:
        raise AdjustmentRefused(
            f"project {project_id} used {used:,} {meter} in {month}, as corrected; no more than that can be "
            "taken off"
        )
    if quantity > 0 and used + quantity > MOST:
        raise _too_much(f"{used:,} {meter} in {month}, as corrected", project_id, quantity)


def why_unsound(row: Mapping[str, Any]) -> str | None:
    """Return the reason why no bill can hold a row of `totals`; None if one can."""
    used = {name: row[name] for name in COUNTER_NAMES} | quantities(row["meters"])
    day_totals = {name: row[f"counted_{name}"] for name in COUNTER_NAMES} | quantities(row["counted_meters"])
    for meter, quantity in used.items():
        more = quantity - day_totals.get(meter, 0)
        if not 0 <= quantity <= MOST:
            return f"{meter} is {quantity:,} with corrections of {more:+,}; reverse one of them"
        if quantity and not row["days_present"]:
            return f"a correction of {more:+,} {meter} and no day in the month; reverse it"
    return None


def unsound_totals(
    connection: Connection, month: Month, project_ids: Sequence[int], at: datetime
) -> dict[int, str]:
    """Return the projects with totals of an open `month` that no bill can hold: project id -> reason."""
    corrected = list(connection.scalars(_CORRECTED, {"ids": list(project_ids), "first": month.first.date}))
    if not corrected:
        return {}
    rows = totals(connection, month, corrected, "", DAYS_SO_FAR, at)
    reasons = {row["project_id"]: why_unsound(row) for row in rows}
    return {project: reason for project, reason in reasons.items() if reason is not None}


def _of_meter(meter: str) -> dict[str, str]:
    """Return SQL of the meter's quantity in a day, an hour, the lifetime and the open months."""
    if meter in COUNTER_NAMES:
        return {
            "day": f"d.{meter}",
            "hour": f"u.{meter}",
            "lifetime": f"s.lifetime_{meter}::numeric",
            "open": f"s.{meter}",
        }
    cells = {"day": "d.meters", "hour": "u.meters", "lifetime": "s.lifetime_meters", "open": "s.meters"}
    return {name: own_meters.value_sql(meter, cell) for name, cell in cells.items()}


def _too_much(used: str, project_id: int, quantity: int) -> AdjustmentRefused:
    return AdjustmentRefused(
        f"project {project_id} used {used}; with {quantity:,} more it is more than can be counted, which is "
        "2^63 - 1"
    )
