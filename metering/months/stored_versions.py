"""The stored plan versions that rated closed months."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, text

from metering.pricing.plans import PlanVersion

STORED = text("SELECT hash, content FROM plan_versions WHERE hash = ANY(:hashes)")


def load(connection: Connection, bills: Iterable[Mapping[str, Any]]) -> dict[str, PlanVersion]:
    """Return the versions that rated those rows of monthly_stats, by hash. Raises PlanError."""
    hashes = {hash_ for bill in bills for hash_ in hashes_of(bill)}
    rows = connection.execute(STORED, {"hashes": sorted(hashes)})
    return {row.hash: PlanVersion.from_content(row.content) for row in rows}


def hashes_of(bill: Mapping[str, Any]) -> set[str]:
    """Return the hashes of the versions that rated a monthly_stats row."""
    return {str(bill["plan_version"]), *(str(part["plan_version"]) for part in bill["versions"])}
