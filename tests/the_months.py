"""Closed months to export, prove, explain and adjust."""

from datetime import UTC, datetime

from sqlalchemy import Engine
from the_platform import Platform

from metering import closing, database, ledger, plans
from metering.ledger import MqttUsage
from metering.periods import Month

OCTOBER = Month.parse("2026-10")
MID_OCTOBER = datetime(2026, 10, 15, 12, tzinfo=UTC)


def closed_october(
    engine: Engine, platform: Platform, projects: int = 1, inbound: int = 1_500_000
) -> list[int]:
    """Starter projects with half a million messages more than included: 29.00 + 1.00 each."""
    organization = platform.organization("starter")
    made = [platform.project(organization, created_at=OCTOBER.start) for _ in range(projects)]
    for project in made:
        count(engine, organization, project, inbound)
    close(engine, made)
    return made


def count(engine: Engine, organization: int, project: int, inbound: int, at: datetime = MID_OCTOBER) -> None:
    with database.transaction(engine) as connection:
        usage = {(organization, project): MqttUsage(inbound, 0, 0, 0, "topic")}
        ledger.add_mqtt(connection, usage, at)


def close(engine: Engine, projects: list[int], month: Month = OCTOBER) -> None:
    with database.transaction(engine) as connection:
        done = closing.close_month(connection, month, projects, plans.load(None), month.end, "operator@cli")
    assert done.closed == len(projects)
