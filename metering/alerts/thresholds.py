"""Thresholds: the shares of an allowance, in percent, at which a customer's limits are reported.

By default 80 and 100. A customer may have own ones for a meter, or for every meter that has none of its own.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.catalogue.meters import METERS
from metering.db import audit_log
from metering.errors import BudgetRefused
from metering.organizations.budgets import require_organization

DEFAULT = (80, 100)
MOST = 10_000  # percent
ORGANIZATION_METERS = ("projects", "users")  # what an organization's tier includes, beside meters of projects

LIST = text(f"""
    SELECT t.organization_id, o.name AS organization, t.meter, t.percents
    FROM alert_thresholds t LEFT JOIN {platform.ORGANIZATIONS} o ON o.id = t.organization_id
    ORDER BY t.organization_id, t.meter NULLS FIRST""")
LEAST = text("SELECT min(percent) FROM alert_thresholds, unnest(percents) AS percent")
ONE = text("""
    SELECT percents FROM alert_thresholds
    WHERE organization_id = :organization_id AND meter IS NOT DISTINCT FROM CAST(:meter AS text)""")
UPSERT = text("""
    INSERT INTO alert_thresholds (organization_id, meter, percents)
    VALUES (:organization_id, :meter, :percents)
    ON CONFLICT (organization_id, coalesce(meter, '')) DO UPDATE SET percents = excluded.percents""")
DELETE = text("""
    DELETE FROM alert_thresholds
    WHERE organization_id = :organization_id AND meter IS NOT DISTINCT FROM CAST(:meter AS text)""")


def own(connection: Connection) -> list[dict[str, Any]]:
    """Return customers' own thresholds: organization_id, organization, meter (None: every) and percents."""
    return [dict(row) for row in connection.execute(LIST).mappings()]


def least(connection: Connection) -> float:
    """Return the lowest share (0.8 is 80 %) at which anybody's limit is reported."""
    own_least = connection.scalar(LEAST)
    return min(DEFAULT[0], own_least or DEFAULT[0]) / 100


def save(
    connection: Connection, organization_id: int, meter: str | None, percents: Sequence[int], actor: str
) -> None:
    """Set an organization's thresholds of `meter`, or of every meter; none: the default again.

    Raises BudgetRefused for an unknown organization or meter, and for shares out of 1 to MOST.
    """
    require_organization(connection, organization_id)
    if meter is not None and meter not in (*METERS, *ORGANIZATION_METERS):
        raise BudgetRefused(
            f"there is no meter {meter!r}; the meters are {', '.join((*METERS, *ORGANIZATION_METERS))}"
        )
    if wrong := [percent for percent in percents if not 1 <= percent <= MOST]:
        raise BudgetRefused(f"a threshold is 1 to {MOST:,} percent, not {wrong[0]}")
    whose = {"organization_id": organization_id, "meter": meter}
    before = connection.scalar(ONE, whose)
    after = sorted(set(percents)) or None
    connection.execute(UPSERT if after else DELETE, whose | ({"percents": after} if after else {}))
    subject = f"thresholds of organization {organization_id}: {meter or 'every meter'}"
    audit_log.record(connection, actor, "thresholds", subject, _as_json(before), _as_json(after))


def _as_json(percents: Sequence[int] | None) -> dict[str, Any] | None:
    return None if percents is None else {"percents": list(percents)}
