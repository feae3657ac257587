"""One definition a job: what a run works on and when it is due agree."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import due
from jobs.registry import TASKS
from metering.errors import PeriodError
from metering.runs import definitions
from metering.runs.definitions import BY_NAME, DEFINITIONS, RANKED, JobDefinition

SCHEDULED = [definition for definition in DEFINITIONS if definition.due]
instants = st.datetimes(min_value=datetime(2024, 1, 1), max_value=datetime(2030, 1, 1))  # noqa: DTZ001


def test_each_job_has_a_task_and_a_rank_of_its_own() -> None:
    assert set(TASKS) == set(BY_NAME)
    assert len({definition.rank for definition in DEFINITIONS}) == len(DEFINITIONS)
    assert RANKED[0] == "hourly"


def test_the_schedule_asks_for_every_job_that_is_due_by_itself() -> None:
    names = {*due.EVERY_HOUR, *due.AFTER_THE_SEAL, "daily", "monthly"}
    assert names == {definition.name for definition in SCHEDULED}


@pytest.mark.parametrize("job", SCHEDULED, ids=lambda job: job.name)
@given(naive=instants)
def test_a_job_is_due_when_its_period_changes(job: JobDefinition, naive: datetime) -> None:
    at = naive.replace(tzinfo=UTC)
    assert job.due is not None
    next_due = job.due(at)
    assert next_due > at
    assert job.period(next_due - timedelta(microseconds=1), {}) == job.period(at, {})
    assert job.period(next_due, {}) != job.period(at, {})


def test_a_job_that_does_not_exist_is_named() -> None:
    with pytest.raises(PeriodError, match="weekly"):
        definitions.request("weekly", datetime(2026, 11, 24, tzinfo=UTC), "manual", "cli")
