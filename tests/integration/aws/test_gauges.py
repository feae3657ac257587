"""A second source of the same measure: levels as of an earlier instant, known as such everywhere."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from collectors.failure import Failure
from collectors.gauge_collector import Project, Reader, Sample, StaleSample
from collectors.gauges import GaugeSource
from collectors.result import CollectionResult
from metering.catalogue import projects
from metering.catalogue.periods import Day
from metering.config.aws import Place
from metering.config.settings import Settings
from metering.days import coverage_hours
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.proof.verify import verify
from tests.support.platform import Platform, hours

SETTINGS = Settings(s3_bucket="bucket-0")
AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
WRITTEN = datetime(2026, 11, 23, 22, tzinfo=UTC)  # when the inventory's files were made
LIVE = "SELECT total_s3_storage_bytes, s3_measured_at FROM project_stats"


def read(engine: Engine, at: datetime, *parts: Sample, project: int | None = None) -> CollectionResult:
    """Read every project, or one; there is a place for each of `parts`, its answer for every project."""

    def answering(part: Sample) -> Reader:
        def answer(projects: Sequence[Project]) -> list[Sample]:
            return [part] * len(projects)

        return answer

    @contextmanager
    def readers(*_: Any) -> Iterator[dict[Place, Reader]]:
        yield {Place(f"bucket-{number}"): answering(part) for number, part in enumerate(parts)}

    return GaugeSource("s3", readers).refresh(SETTINGS, engine, at, project)


def stored(size: int, at: datetime | None = None) -> Sample:
    levels = {"s3_storage_bytes": size}
    return levels if at is None else StaleSample(levels, at)


def test_an_earlier_level_is_dated_by_when_it_was_and_carried_with_its_age(
    engine: Engine, platform: Platform
) -> None:
    project = platform.project(created_at=WRITTEN)
    read(engine, AT, stored(7, WRITTEN))
    assert platform.rows(LIVE) == [(7, WRITTEN)]
    with transaction(engine) as connection:
        cells = coverage_hours.hours(connection, project, Day.of(AT), AT)
        seal_through(connection, Day.of(AT), projects.ids(connection), AT + timedelta(days=1))
    last = [cell for cell in cells if cell.source == "s3"][-1]
    assert (last.state, last.detail["age_hours"]) == ("carried", 12.5)
    sealed = platform.rows(
        "SELECT s3_storage_bytes, coverage->'s3' FROM daily_stats ORDER BY date DESC LIMIT 1"
    )
    ((size, coverage),) = sealed
    assert (size, coverage["state"], coverage["age_hours"]) == (7, "carried", 26)
    assert verify(engine).sound


def test_an_earlier_level_does_not_replace_a_younger_one(engine: Engine, platform: Platform) -> None:
    platform.project(created_at=WRITTEN)
    read(engine, AT - hours(1), stored(9))
    read(engine, AT, stored(7, WRITTEN))
    assert platform.rows(LIVE) == [(9, AT - hours(1))]
    assert platform.rows("SELECT hour FROM usage_hourly WHERE measured ? 's3'") == [(AT - hours(1.5),)]


def test_a_sum_is_as_old_as_its_oldest_part(engine: Engine, platform: Platform) -> None:
    platform.project(created_at=WRITTEN)
    read(engine, AT, stored(9), stored(7, WRITTEN))
    assert platform.rows(LIVE) == [(16, WRITTEN)]
    part = platform.scalar("SELECT measured->'s3_parts'->'bucket-1' FROM usage_hourly")
    assert part == {"s3_storage_bytes": 7, "sampled_at": WRITTEN.isoformat()}


@pytest.mark.parametrize("words", [("access denied to x", "AWS did not answer"), ("x", "x")])
def test_of_several_places_a_denial_decides_in_any_order_and_whatever_its_words(
    engine: Engine, platform: Platform, words: tuple[str, str]
) -> None:
    denied, silent = Failure(words[0], "denied"), Failure(words[1], "timeout", later=True)
    for parts in ((denied, silent), (silent, denied), (stored(7), silent), (silent, silent, denied)):
        read(engine, AT, *parts, project=platform.project(created_at=AT - hours(1)))
    with transaction(engine) as connection:
        ids = projects.ids(connection)
        hourly = [coverage_hours.hours(connection, project, Day.of(AT), AT) for project in ids]
        seal_through(connection, Day.of(AT), ids, AT + timedelta(days=1))
    expected = ["denied", "denied", "failed", "denied"]
    assert [[hour.state for hour in hours if hour.source == "s3"][-1] for hours in hourly] == expected
    sealed = platform.rows("SELECT coverage->'s3' FROM daily_stats ORDER BY project_id")
    assert [coverage["state"] for (coverage,) in sealed] == expected
    both = sealed[0][0]["reason"], sealed[1][0]["reason"]
    assert both[0] == both[1] == "; ".join(dict.fromkeys(words))
