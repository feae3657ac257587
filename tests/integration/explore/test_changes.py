"""Changes of the platform's own meters, beside a plain loop."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from console.data.explore.measures import catalogue
from console.views.changes import question, reading
from metering.catalogue import own_meters, projects
from metering.catalogue.own_meters import OwnMeter
from metering.catalogue.periods import Day, Month
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.ledger import own_usage
from metering.ledger.own_usage import Usage
from metering.ledger.partitions import ensure_partition
from tests.support.platform import Platform

OWN = {
    "query_seconds": OwnMeter("query_seconds", "seconds", "sum", "Query time", ""),
    "robots_online": OwnMeter("robots_online", "robots", "max", "Robots online", ""),
}
START, TODAY = date(2026, 8, 1), date(2026, 11, 20)
DAY = timedelta(days=1)


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def seconds(project: int, day: date) -> int:
    return day.toordinal() * 7_919 * (project % 97 + 1) % 1_000


@pytest.fixture
def metered(engine: Engine, platform: Platform) -> list[int]:
    """Add two projects of two organizations with own usage each day; all days but the last two are sealed."""
    start = noon(START)
    ids = [platform.project(platform.organization("pro"), created_at=start) for _ in range(2)]
    days = [START + n * DAY for n in range((TODAY - START).days + 1)]
    with transaction(engine) as connection:
        own_meters.declare(connection, OWN, start)
        projects.ensure(connection, ids, start)
        for month in {day.replace(day=1) for day in days}:
            ensure_partition(connection, Month.of(noon(month)))
        usage = [Usage(id, noon(day), "query_seconds", seconds(id, day) + 1) for id in ids for day in days]
        own_usage.add(connection, usage, {"robots_online"}, noon(TODAY))
        seal_through(connection, Day(TODAY - 2 * DAY), ids, noon(TODAY))
    return ids


def compare(engine: Engine, **address: str) -> tuple[question.ChangeQuestion, Any]:
    changes, problems = question.read(address, TODAY, catalogue(OWN))
    assert problems == []
    with engine.connect() as connection:
        return changes, reading.read(connection, changes, noon(TODAY)).comparison


@pytest.mark.parametrize(
    ("first", "last"), [(date(2026, 11, 14), TODAY), (date(2026, 9, 10), date(2026, 11, 19))]
)
def test_own_meters_add_up_as_a_plain_loop(
    engine: Engine, metered: list[int], first: date, last: date
) -> None:
    before = {"before_from": "2026-08-05", "before_to": "2026-08-11"}
    changes, comparison = compare(
        engine, meters="query_seconds", **before, **{"from": str(first), "to": str(last)}
    )
    parts = {part.key: part for part in comparison.by["project"]}
    for project in metered:
        for (since, until), value in (
            (changes.before, parts[project].before),
            (changes.after, parts[project].after),
        ):
            days = [since + n * DAY for n in range((until - since).days + 1)]
            assert value == sum(seconds(project, day) + 1 for day in days)
    for dimension in ("organization", "project", "meter", "tier"):
        assert sum(part.change for part in comparison.by[dimension]) == comparison.change


def test_the_largest_quantity_has_no_parts() -> None:
    changes, problems = question.read({"meters": "robots_online,query_seconds"}, TODAY, catalogue(OWN))
    assert [measure.name for measure in changes.measures] == ["query_seconds"]
    assert "Robots online" in problems[0]
