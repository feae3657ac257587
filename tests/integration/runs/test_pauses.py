"""A paused job is left out by the schedule until the pause ends, which it does by itself."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from jobs import due
from metering.config.settings import Settings
from metering.db.transactions import transaction
from metering.errors import PauseRefused, PeriodError
from metering.runs import lease, pauses
from metering.runs.requests import Request, enqueue
from tests.support import runs
from tests.support.platform import Platform, hours

AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
NOW = datetime.now(UTC)


def pause(engine: Engine, job: str, until: datetime, at: datetime = AT, reason: str = "S3 is down") -> None:
    with transaction(engine) as connection:
        pauses.pause(connection, job, until, reason, "ann@fleet.example", at)


def due_jobs(engine: Engine, platform: Platform, at: datetime) -> set[str]:
    with transaction(engine) as connection:
        due.enqueue_due(connection, at)
    return {row[0] for row in platform.rows("SELECT DISTINCT job FROM job_runs")}


@pytest.mark.parametrize(
    ("length", "accepted"),
    [
        (timedelta(0), False),
        (timedelta(microseconds=1), True),
        (timedelta(hours=72), True),
        (timedelta(hours=72, microseconds=1), False),
        (timedelta(hours=-1), False),
    ],
)
def test_a_pause_ends_within_72_hours(engine: Engine, length: timedelta, accepted: bool) -> None:
    if accepted:
        pause(engine, "hourly", AT + length)
    else:
        with pytest.raises(PauseRefused, match="72 hours"):
            pause(engine, "hourly", AT + length)


def test_a_pause_says_why_and_of_what(engine: Engine) -> None:
    with pytest.raises(PauseRefused, match="needs a reason"):
        pause(engine, "hourly", AT + hours(1), reason=" ")
    with pytest.raises(PeriodError, match="no job 'hurly'"):
        pause(engine, "hurly", AT + hours(1))


def test_the_schedule_leaves_a_paused_job_out_and_asks_again_when_it_ends(
    engine: Engine, platform: Platform
) -> None:
    platform.project(created_at=AT - hours(1))
    pause(engine, "hourly", AT + hours(2))
    assert "hourly" not in due_jobs(engine, platform, AT)
    assert "reconcile" in due_jobs(engine, platform, AT)
    assert "hourly" in due_jobs(engine, platform, AT + hours(2))


def test_what_the_schedule_asked_for_before_waits_and_a_person_may_run_it(
    configured: Settings, engine: Engine
) -> None:
    with transaction(engine) as connection:
        waiting = enqueue(connection, Request("hourly", "2026-11-24T10", NOW, "schedule", "schedule"))
    pause(engine, "hourly", NOW + hours(1), NOW)
    with transaction(engine) as connection:
        assert lease.claim(connection, "worker/1") is None
        request_id = enqueue(
            connection, Request("hourly", "2026-11-24T11", NOW, "console", "ann@fleet.example")
        )
        run = lease.claim(connection, "worker/1")
    assert run is not None
    assert (run.id, waiting) == (request_id, waiting)
    assert runs.run_now(configured, engine, "hourly", NOW).state == "succeeded"


def test_a_pause_is_moved_resumed_and_written_down(engine: Engine, platform: Platform) -> None:
    pause(engine, "daily", AT + hours(1))
    pause(engine, "daily", AT + hours(5), reason="still down")
    with transaction(engine) as connection:
        assert [one.reason for one in pauses.current(connection, AT)] == ["still down"]
        assert pauses.current(connection, AT + hours(5)) == []
        pauses.resume(connection, "daily", "bob@fleet.example", AT + hours(2))
        with pytest.raises(PauseRefused, match="not paused"):
            pauses.resume(connection, "daily", "bob@fleet.example", AT + hours(2))
    assert platform.rows("SELECT actor, action, subject FROM audit_log WHERE subject LIKE 'job %'") == [
        ("ann@fleet.example", "pause", "job daily"),
        ("ann@fleet.example", "pause", "job daily"),
        ("bob@fleet.example", "resume", "job daily"),
    ]
