"""Owners of a month: the days of each, where a project was moved from one organization to another."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue.meters import COUNTER_NAMES, METERS, columns
from metering.catalogue.own_meters import merged_sql
from metering.catalogue.periods import Month

Owner = dict[str, Any]

OWNERS = text(f"""
    SELECT project_id, organization_id, count(*) AS days, {columns("sum({0}) AS {0}")},
        {merged_sql()} AS meters
    FROM daily_stats WHERE project_id = ANY(:ids) AND date BETWEEN :first AND :last
    GROUP BY project_id, organization_id ORDER BY project_id, min(date), organization_id""")


def owners(connection: Connection, month: Month, project_ids: Sequence[int]) -> dict[int, list[Owner]]:
    """Return project id -> its owners in `month`, the first one first, as monthly_stats keeps them.

    Each is `organization_id`, the number of its `days`, and its `usage`: the meters that are not zero.
    """
    bounds = {"ids": list(project_ids), "first": month.first.date, "last": month.last.date}
    by_project: dict[int, list[Owner]] = {}
    for row in connection.execute(OWNERS, bounds).mappings():
        usage = {name: int(row[name]) for name in COUNTER_NAMES if row[name]} | row["meters"]
        owner = {"organization_id": row["organization_id"], "days": row["days"], "usage": usage}
        by_project.setdefault(row["project_id"], []).append(owner)
    return by_project


def describe(owners: Iterable[Mapping[str, Any]]) -> str:
    """Describe the owners of a month, with their days and usage; nothing for no owners."""
    return "; ".join(
        f"organization {owner['organization_id']}: {owner['days']} days"
        + "".join(f", {quantity:,} {_label(meter)}" for meter, quantity in owner["usage"].items())
        for owner in owners
    )


def notes(owners: Iterable[Mapping[str, Any]], later_readings: Sequence[str]) -> str:
    """Describe a bill's owners and late readings; nothing in the usual case."""
    named = describe(owners)
    sentences = (f"Owners: {named}" if named else "", describe_later(later_readings).capitalize())
    return ". ".join(sentence for sentence in sentences if sentence)


def describe_later(readings: Sequence[str]) -> str:
    """Describe readings of owner or tier after the month's end; nothing for no readings."""
    if not readings:
        return ""
    verb = "is a later reading" if len(readings) == 1 else "are later readings"
    return f"{' and '.join(readings)} {verb}: nothing was read before the month's end"


def _label(meter: str) -> str:
    return METERS[meter].label if meter in METERS else meter
