"""Check sealed days and closed months."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, text

from fleetmeter import status as overview
from fleetmeter.doctor.finding import Finding
from metering.catalogue import platform
from metering.catalogue.quantities import many
from metering.config.settings import Settings
from metering.pricing import plans


def snapshots(connection: Connection, settings: Settings, at: datetime) -> Iterator[Finding]:
    """Check whether days are missing."""
    count = overview.missing(connection, at)
    projects = connection.scalar(text(f"SELECT count(*) FROM {platform.PROJECTS} projects WHERE is_active"))
    if not projects:
        yield Finding("projects", False, "the platform has no active project", "nothing to meter yet")
    yield Finding(
        "daily snapshots",
        count == 0,
        f"{count} missing in the last 30 days",
        ""
        if count == 0
        else "Snapshots, Backfill repairs them (or `fleetmeter backfill`); `fleetmeter missing` lists them",
    )


def closes(connection: Connection, settings: Settings, at: datetime) -> Iterator[Finding]:
    """Check whether a month waits to be closed, and what blocks it."""
    for month, state in overview.months(connection, at, plans.load(settings.plans)).items():
        if state.get("running"):
            continue
        blocked = state["blocked"]
        reason = next(iter(blocked.values()), "")
        result = f"{month} is over and open" + (
            f", blocked for {many(len(blocked), 'project')}" if blocked else ""
        )
        yield Finding(
            "monthly close", False, result, reason or "Billing closes it (or `fleetmeter run monthly`)"
        )
        return
    yield Finding("monthly close", True, "every month that is over is closed")
