"""A second source of the same measure: levels as of an earlier instant, known as such everywhere."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from collectors import gauges
from collectors.aws.client import RequestCount
from collectors.gauges import Project, Read, Sample, StaleSample
from collectors.result import CollectionResult
from metering.catalogue import projects
from metering.catalogue.periods import Day
from metering.config.aws import Place
from metering.days import coverage_hours
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.proof.verify import verify
from tests.support.platform import Platform, hours

AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
WRITTEN = datetime(2026, 11, 23, 22, tzinfo=UTC)  # when the inventory's files were made
LIVE = "SELECT total_s3_storage_bytes, s3_measured_at FROM project_stats"


def read(engine: Engine, at: datetime, *parts: Sample) -> CollectionResult:
    """One reading, a place for each of `parts`, which is the answer for every project."""

    def answering(part: Sample) -> Read:
        def answer(found: Sequence[Project]) -> list[Sample]:
            return [part] * len(found)

        return answer

    @contextmanager
    def readers(_tally: RequestCount) -> Iterator[dict[Place, Read]]:
        yield {Place(f"bucket-{number}"): answering(part) for number, part in enumerate(parts)}

    return gauges.refresh(CollectionResult("s3"), readers, engine, at, None, None, again=False)


def stored(size: int, at: datetime | None = None) -> Sample:
    found = {"s3_storage_bytes": size}
    return found if at is None else StaleSample(found, at)


def test_an_earlier_level_is_dated_by_when_it_was_and_carried_with_its_age(
    engine: Engine, platform: Platform
) -> None:
    project = platform.project(created_at=WRITTEN)
    read(engine, AT, stored(7, WRITTEN))
    assert platform.rows(LIVE) == [(7, WRITTEN)]
    with transaction(engine) as connection:
        found = coverage_hours.hours(connection, project, Day.of(AT), AT)
        seal_through(connection, Day.of(AT), projects.ids(connection), AT + timedelta(days=1))
    last = [cell for cell in found if cell.source == "s3"][-1]
    assert (last.state, last.detail["age_hours"]) == ("carried", 12.5)
    sealed = platform.rows(
        "SELECT s3_storage_bytes, coverage->'s3' FROM daily_stats ORDER BY date DESC LIMIT 1"
    )
    ((size, said),) = sealed
    assert (size, said["state"], said["age_hours"]) == (7, "carried", 26)
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
