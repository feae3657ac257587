"""Closed months to export, prove, explain and adjust."""

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from metering.catalogue.periods import Month
from metering.db.transactions import read_snapshot, transaction
from metering.exports.csv_format import PLAIN, Style
from metering.exports.export import Export
from metering.exports.write import write
from metering.ledger.mqtt import MqttUsage, add_mqtt
from metering.months.close import close_month
from metering.pricing import plans
from tests.support.platform import Platform

OCTOBER = Month.parse("2026-10")
MID_OCTOBER = datetime(2026, 10, 15, 12, tzinfo=UTC)


def closed_october(
    engine: Engine, platform: Platform, projects: int = 1, inbound: int = 1_500_000
) -> list[int]:
    """Close October for projects of the tier starter; return their ids.

    By default each has half a million messages more than included, and costs 29.00 + 1.00.
    """
    organization = platform.organization("starter")
    project_ids = [platform.project(organization, created_at=OCTOBER.start) for _ in range(projects)]
    for project in project_ids:
        count(engine, organization, project, inbound)
    close(engine, project_ids)
    return project_ids


def count(engine: Engine, organization: int, project: int, inbound: int, at: datetime = MID_OCTOBER) -> None:
    with transaction(engine) as connection:
        usage = {(organization, project): MqttUsage(inbound, 0, 0, 0, "topic")}
        add_mqtt(connection, usage, at)


def close(engine: Engine, projects: list[int], month: Month = OCTOBER) -> None:
    with transaction(engine) as connection:
        result = close_month(connection, month, projects, plans.load(None), month.end, "operator@cli")
    assert result.closed == len(projects)


def export_month(
    engine: Engine, month: Month, output: Path | None, file_format: str = "csv", style: Style = PLAIN
) -> int:
    with read_snapshot(engine) as connection:
        return write(connection, Export.for_month(month), file_format, output, style).rows


def export_days(
    engine: Engine, month: Month, output: Path | None, file_format: str = "csv", style: Style = PLAIN
) -> int:
    with read_snapshot(engine) as connection:
        return write(connection, Export.for_days(month.first, month.last), file_format, output, style).rows
