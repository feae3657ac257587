"""Jobs: one run for one period whoever asks, taken over when its worker dies, due from the database."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine
from the_platform import Platform, hours

from jobs import due, execute, queue, runner
from jobs.queue import Lost, Run
from metering import audit, database, reconciliation
from metering.errors import MonthClosed, PeriodError
from metering.settings import Settings

AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)


def until(true: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def ask(engine: Engine, job: str = "hourly", period: str = "p", trigger: str = "console") -> int | None:
    with database.transaction(engine) as connection:
        return queue.enqueue(connection, job, period, AT, trigger, "somebody")


def claim(engine: Engine, worker: str = "one") -> Run | None:
    with database.transaction(engine) as connection:
        return queue.claim(connection, worker)


def test_asking_twice_is_asking_once(engine: Engine) -> None:
    assert ask(engine) == ask(engine) == ask(engine, trigger="schedule")


def test_a_scheduled_run_is_made_once_ever(engine: Engine) -> None:
    ask(engine, trigger="schedule")
    run = claim(engine)
    assert run
    with database.transaction(engine) as connection:
        queue.finish(connection, run, "succeeded", {}, [])
    assert ask(engine, trigger="schedule") is None
    assert ask(engine, trigger="console") is not None


def test_two_workers_never_hold_the_same_run(engine: Engine) -> None:
    for number in range(6):
        ask(engine, period=str(number))
    held: list[int] = []

    def work(name: str) -> None:
        while (run := claim(engine, name)) is not None:
            held.append(run.id)
            with database.transaction(engine) as connection:
                queue.finish(connection, run, "succeeded", {}, [])

    workers = [threading.Thread(target=work, args=(str(n),)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(held) == len(set(held))
    while (run := claim(engine)) is not None:
        held.append(run.id)
    assert len(set(held)) == 6


def test_a_dead_workers_run_is_taken_over_and_its_late_words_do_not_land(
    engine: Engine, platform: Platform
) -> None:
    ask(engine)
    frozen = claim(engine, "frozen")
    assert frozen
    assert claim(engine, "other") is None, "the lease holds"
    platform.sql("UPDATE job_runs SET heartbeat_at = heartbeat_at - interval '31 seconds'")
    second = claim(engine, "other")
    assert second is not None
    assert (second.id, second.attempt) == (frozen.id, 2)
    for late in (
        lambda connection: queue.heartbeat(connection, frozen, {}),
        lambda connection: queue.finish(connection, frozen, "succeeded", {}, []),
    ):
        with pytest.raises(Lost), database.transaction(engine) as connection:
            late(connection)
    assert platform.rows("SELECT state, worker FROM job_runs") == [("running", "other")]


def test_what_fails_for_a_passing_reason_is_tried_again_and_then_a_dead_letter(
    engine: Engine, platform: Platform
) -> None:
    ask(engine)
    for attempt in range(queue.ATTEMPTS):
        run = claim(engine)
        assert run is not None, attempt
        with database.transaction(engine) as connection:
            queue.retry_later(connection, run, "connection lost", 0)
    assert claim(engine) is None
    assert platform.rows("SELECT state, errors->0->>'error' FROM job_runs") == [("dead", "connection lost")]


def test_after_an_outage_every_missed_day_is_due_in_order(engine: Engine, platform: Platform) -> None:
    project = platform.project(created_at=AT - hours(24 * 3))
    platform.sql(
        "INSERT INTO project_stats (project_id, open_from, updated_at) VALUES (:id, :at, :at)",
        id=project,
        at=AT.replace(hour=0, minute=0) - hours(24 * 3),
    )
    with database.transaction(engine) as connection:
        due.enqueue_due(connection, AT)
        due.enqueue_due(connection, AT)
    claimed = []
    while (run := claim(engine)) is not None:
        claimed.append(f"{run.job} {run.period}")
        with database.transaction(engine) as connection:
            queue.finish(connection, run, "succeeded", {}, [])
    assert claimed == [
        "hourly 2026-11-24T10:00Z",
        "daily 2026-11-21",
        "daily 2026-11-22",
        "daily 2026-11-23",
        f"reconcile {reconciliation.settled(AT)}",
    ]


@contextmanager
def running(configured: Settings, engine: Engine) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=runner.run, args=(configured, engine, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=30)
    assert not thread.is_alive()


def test_a_runner_works_off_what_is_due_and_what_is_asked(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    now = datetime.now(UTC)
    project = platform.project(created_at=now - hours(50))
    platform.logs(project, now - hours(30), 3)
    with running(configured, engine):
        until(lambda: platform.scalar("SELECT count(*) FROM workers WHERE role = 'runner'"))
        until(lambda: (platform.scalar("SELECT count(*) FROM daily_stats") or 0) >= 2, 60)
        assert platform.scalar("SELECT sum(logs)::int FROM daily_stats") == 3
        asked = ask(engine, "hourly", "asked")
        done = "SELECT state = 'succeeded' FROM job_runs WHERE id = :id"
        until(lambda: platform.scalar(done, id=asked), 60)
    assert audit.verify(engine).sound


def test_a_job_asked_for_while_another_process_holds_it_returns_that_result(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    platform.project()
    outcomes: list[execute.Outcome] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(execute.run_now(configured, engine, "daily", AT)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {outcome.state for outcome in outcomes} == {"succeeded"}
    assert platform.scalar("SELECT count(*) = count(DISTINCT (project_id, date)) FROM daily_stats")


def test_one_broken_project_does_not_stop_the_others(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    created = AT - hours(24)
    broken, whole = platform.project(created_at=created), platform.project(created_at=created)
    platform.sql(f"ALTER TABLE daily_stats ADD CONSTRAINT broken CHECK (project_id <> {broken})")
    outcome = execute.run_now(configured, engine, "daily", AT)
    assert outcome.state == "succeeded"
    assert [error["project_id"] for error in outcome.errors] == [broken]
    assert platform.rows("SELECT DISTINCT project_id FROM daily_stats") == [(whole,)]


def test_a_dry_run_changes_nothing_and_counts_what_would(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    platform.project(created_at=AT - hours(24))
    preview = execute.run_now(configured, engine, "daily", AT, dry_run=True)
    assert platform.scalar("SELECT count(*) FROM daily_stats") == 0
    done = execute.run_now(configured, engine, "daily", AT)
    assert preview.result["days_sealed"] == done.result["days_sealed"] == 1


def test_a_backfill_refuses_a_closed_month_and_the_future(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    platform.project(created_at="2026-10-05T00:00:00Z")
    execute.run_now(configured, engine, "monthly", AT)
    with pytest.raises(MonthClosed, match="2026-10 is closed"):
        execute.run_now(
            configured, engine, "backfill", AT, arguments={"from": "2026-10-06", "to": "2026-10-07"}
        )
    with pytest.raises(PeriodError, match="is not over"):
        execute.run_now(
            configured, engine, "backfill", AT, arguments={"from": "2026-11-24", "to": "2026-11-24"}
        )


def test_a_backfill_reaches_a_project_that_ended_before_this_month(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    """Its past is billed too: up to the day of deactivation, that day included."""
    project = platform.project(platform.organization("starter"), created_at="2026-10-05T12:00:00Z")
    platform.logs(project, datetime(2026, 10, 20, 9, tzinfo=UTC), 3)
    platform.deactivate(project, datetime(2026, 10, 20, 10, tzinfo=UTC))
    days = {"from": "2026-10-01", "to": "2026-10-31"}
    execute.run_now(configured, engine, "backfill", AT, arguments=days)
    execute.run_now(configured, engine, "monthly", AT)
    bills = "SELECT month, days_present, days_expected, logs FROM monthly_stats"
    assert platform.rows(bills) == [(10, 16, 16, 3)]
    assert audit.verify(engine).discrepancies == []


def test_an_interrupted_run_frees_its_period(engine: Engine, platform: Platform) -> None:
    run = ask(engine)
    claim(engine)
    with database.transaction(engine) as connection:
        assert queue.cancel(connection, int(run or 0))
        assert not queue.cancel(connection, int(run or 0))
    assert ask(engine) != run


def test_a_retry_does_only_the_projects_that_were_left_out(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    created = AT - hours(24)
    broken, whole = platform.project(created_at=created), platform.project(created_at=created)
    platform.sql(f"ALTER TABLE daily_stats ADD CONSTRAINT broken CHECK (project_id <> {broken})")
    failed = execute.run_now(configured, engine, "daily", AT)
    platform.sql("ALTER TABLE daily_stats DROP CONSTRAINT broken")
    with database.transaction(engine) as connection:
        again = queue.retry(connection, failed.run_id, "somebody")
        assert again is not None
        run = queue.claim(connection, "one", again)
    assert run is not None
    assert run.arguments == {"projects": [broken], "of": failed.run_id}
    outcome = execute.execute(configured, engine, run)
    assert outcome.errors == []
    assert list(outcome.result["projects"]) == [str(broken)]
    assert platform.rows("SELECT project_id FROM daily_stats ORDER BY 1") == [(broken,), (whole,)]


def test_a_request_starts_within_a_second(configured: Settings, engine: Engine, platform: Platform) -> None:
    with running(configured, engine):
        idle = "SELECT count(*) > 0 AND bool_and(state NOT IN ('queued', 'running')) FROM job_runs"
        until(lambda: platform.scalar(idle), 60)
        waits = []
        for number in range(5):
            run_id = ask(engine, "hourly", f"asked {number}")
            until(
                lambda run_id=run_id: platform.scalar(
                    "SELECT finished_at FROM job_runs WHERE id = :id", id=run_id
                )
            )  # type: ignore[misc]
            waited = "SELECT extract(epoch FROM started_at - created_at)::float FROM job_runs WHERE id = :id"
            waits.append(platform.scalar(waited, id=run_id))
    assert max(waits) < 1, waits


def test_what_is_due_is_asked_for_without_using_up_ids(engine: Engine, platform: Platform) -> None:
    platform.project(created_at=AT - hours(72))
    for _ in range(3):
        with database.transaction(engine) as connection:
            due.enqueue_due(connection, AT)
    last = platform.scalar("SELECT max(id) FROM job_runs")
    assert platform.scalar("SELECT last_value FROM job_runs_id_seq") == last


def test_a_discarded_dead_letter_rests(engine: Engine, platform: Platform) -> None:
    run_id = ask(engine)
    assert run_id
    platform.sql("UPDATE job_runs SET state = 'dead', finished_at = now()")
    with database.transaction(engine) as connection:
        assert queue.discard(connection, run_id)
        assert not queue.discard(connection, run_id)
    assert platform.rows("SELECT state FROM job_runs") == [("cancelled",)]
