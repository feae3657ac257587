"""Compare the numbers of an organization's projects and users with the limits of its tier."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import platform
from metering.pricing.month_versions import MonthVersions
from metering.pricing.plans import PlanVersion

OF_ORGANIZATIONS = f"""
    SELECT o.id, o.name AS organization, o.tier, counted.what, counted.used, counted.included,
        counted.used / nullif(counted.included, 0)::float AS share
    FROM {platform.ORGANIZATIONS} o
    JOIN jsonb_to_recordset(CAST(:tiers AS jsonb)) AS t (tier text, projects bigint, users bigint)
        ON t.tier = o.tier
    CROSS JOIN LATERAL (VALUES
        ('Projects', (SELECT count(*) FROM {platform.PROJECTS} p
            WHERE p.organization_id = o.id AND p.is_active), t.projects),
        ('Users', (SELECT count(*) FROM {platform.USERS} u WHERE u.organization_id = o.id), t.users)
    ) AS counted (what, used, included)
    WHERE (CAST(:organizations AS bigint[]) IS NULL OR o.id = ANY(:organizations))
        AND counted.included IS NOT NULL AND counted.used >= counted.included * CAST(:near AS float)"""

ORGANIZATIONS = text(f"{OF_ORGANIZATIONS} ORDER BY share DESC NULLS LAST, o.id LIMIT :most")


def organizations(
    connection: Connection,
    versions: MonthVersions,
    near: float,
    most: int = 200,
    organization_id: int | None = None,
) -> list[Mapping[str, Any]]:
    """Return the organizations whose projects or users reach that share of their tier's limit.

    `organization_id`: only that one.
    """
    parameters = {"tiers": json.dumps(tiers(versions.last)), "near": near, "most": most}
    only = None if organization_id is None else [organization_id]
    rows = connection.execute(ORGANIZATIONS, parameters | {"organizations": only}).mappings()
    return [dict(row) for row in rows]


def tiers(version: PlanVersion) -> list[dict[str, Any]]:
    """Return the limits of each tier, as OF_ORGANIZATIONS takes them."""
    return [
        {"tier": name, "projects": tier.projects, "users": tier.users} for name, tier in version.tiers.items()
    ]
