"""Jobs: one run for one period whoever asks, taken over when its worker dies, due from the database."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, event
from structlog.testing import capture_logs

from collectors.failure import Failure
from collectors.gauges import GaugeSource
from collectors.result import CollectionResult
from jobs import due, runner
from jobs.registry import TASKS
from metering.alerts import alerts, backlog, reconciliation
from metering.config.settings import Settings
from metering.db.transactions import transaction
from metering.errors import DatabaseUnavailable, LockTimeout, MonthClosed, PeriodError
from metering.pricing import plans
from metering.proof.verify import verify
from metering.runs import lease, requests
from metering.runs.heartbeat import Heartbeat
from metering.runs.lease import LeaseLost, Run
from metering.runs.outcome import Outcome
from tests.support import runs
from tests.support.platform import Platform, hours
from tests.support.until import until

AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)


def ask(engine: Engine, job: str = "hourly", period: str = "p", trigger: str = "console") -> int | None:
    with transaction(engine) as connection:
        return runs.enqueue(connection, job, period, AT, trigger, "somebody")


def claim(engine: Engine, worker: str = "one") -> Run | None:
    with transaction(engine) as connection:
        return lease.claim(connection, worker)


def test_asking_twice_is_asking_once(engine: Engine) -> None:
    assert ask(engine) == ask(engine) == ask(engine, trigger="schedule")


def test_a_scheduled_run_is_made_once_ever(engine: Engine) -> None:
    ask(engine, trigger="schedule")
    run = claim(engine)
    assert run
    with transaction(engine) as connection:
        lease.finish(connection, run, "succeeded", {}, [])
    assert ask(engine, trigger="schedule") is None
    assert ask(engine, trigger="console") is not None


def test_two_workers_never_hold_the_same_run(engine: Engine) -> None:
    for number in range(6):
        ask(engine, period=str(number))
    claimed_ids: list[int] = []

    def work(name: str) -> None:
        while (run := claim(engine, name)) is not None:
            claimed_ids.append(run.id)
            with transaction(engine) as connection:
                lease.finish(connection, run, "succeeded", {}, [])

    workers = [threading.Thread(target=work, args=(str(n),)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(claimed_ids) == len(set(claimed_ids))
    while (run := claim(engine)) is not None:
        claimed_ids.append(run.id)
    assert len(set(claimed_ids)) == 6


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
        lambda connection: lease.heartbeat(connection, frozen, {}),
        lambda connection: lease.finish(connection, frozen, "succeeded", {}, []),
    ):
        with pytest.raises(LeaseLost), transaction(engine) as connection:
            late(connection)
    assert platform.rows("SELECT state, worker FROM job_runs") == [("running", "other")]


def test_what_fails_for_a_passing_reason_is_tried_again_and_then_a_dead_letter(
    engine: Engine, platform: Platform
) -> None:
    ask(engine)
    for attempt in range(lease.ATTEMPTS):
        run = claim(engine)
        assert run is not None, attempt
        with transaction(engine) as connection:
            lease.retry_later(connection, run, [{"error": "connection lost"}], 0)
    assert claim(engine) is None
    assert platform.rows("SELECT state, errors->0->>'error' FROM job_runs") == [("dead", "connection lost")]


def test_a_run_whose_workers_were_killed_is_not_worn_out(engine: Engine, platform: Platform) -> None:
    ask(engine)
    for number in range(3 * lease.ATTEMPTS):
        run = claim(engine, str(number))
        platform.sql("UPDATE job_runs SET heartbeat_at = heartbeat_at - interval '31 seconds'")
    assert run is not None
    with transaction(engine) as connection:
        run = lease.claim(connection, "last")
        assert run is not None
        assert lease.retry_later(connection, run, [{"error": "connection lost"}], 0) == "queued"


def test_a_run_that_kills_every_worker_is_news_then_comes_last_and_ends_as_a_dead_letter(
    engine: Engine, platform: Platform
) -> None:
    ask(engine, "hourly", "poison")
    ask(engine, "reconcile", "other")
    lapse = "UPDATE job_runs SET heartbeat_at = heartbeat_at - interval '31 seconds'"
    for _ in range(lease.DEPRIORITIZE_AFTER + 1):
        run = claim(engine)
        assert run is not None
        assert run.period == "poison"
        platform.sql(lapse)
    other = claim(engine)
    assert other is not None
    assert other.period == "other", "what may be harmless goes first"
    with transaction(engine) as connection:
        lease.finish(connection, other, "succeeded", {}, [])
        alerts.refresh(connection, AT, plans.load(None))
    kinds = "SELECT kind FROM alerts WHERE resolved_at IS NULL AND kind IN ('worker_lost', 'dead_letter')"
    assert platform.rows(kinds) == [("worker_lost",)]
    while claim(engine) is not None:
        platform.sql(lapse)
    ended = "SELECT state, lost_workers, errors->0->>'error' FROM job_runs WHERE period = 'poison'"
    state, lost, error = platform.rows(ended)[0]
    assert (state, lost) == ("dead", lease.MAX_LOST_WORKERS)
    assert "20 workers died" in error
    with transaction(engine) as connection:
        alerts.refresh(connection, AT, plans.load(None))
    assert platform.rows(kinds) == [("dead_letter",)]


def test_a_mistake_of_ours_fails_the_run_instead_of_being_taken_over_for_ever(
    configured: Settings, engine: Engine, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, "hourly", lambda _: {}["mistake"])
    ask(engine, trigger="schedule")
    run = claim(engine)
    assert run is not None
    ended = runs.execute(configured, engine, run)
    assert (ended.state, ended.errors[0]["error"]) == ("failed", "KeyError: 'mistake'")


def test_what_may_pass_is_tried_again_alone_and_ends_as_a_dead_letter_that_names_its_projects(
    configured: Settings, engine: Engine, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied, throttled, whole = (platform.project(created_at=AT - hours(24)) for _ in range(3))
    reasons = {denied: Failure("denied"), throttled: Failure("throttled", transient=True)}
    requested_projects: list[int | None] = []

    def refresh(source: GaugeSource, _: Any, __: Any, ___: Any, project: int | None, *____: Any) -> Any:
        if source.name != "s3":
            return CollectionResult(source.name, configured=False)
        requested_projects.append(project)
        failures = reasons if project is None else {p: why for p, why in reasons.items() if p == project}
        return CollectionResult("s3", failures=failures, projects=3 - len(failures), throttles=2)

    monkeypatch.setattr(GaugeSource, "refresh", refresh)
    run_id = ask(engine, trigger="schedule")
    for attempt in range(lease.ATTEMPTS):
        platform.sql("UPDATE job_runs SET next_attempt_at = now()")
        run = claim(engine)
        assert run is not None
        ended = runs.execute(configured, engine, run)
        assert ended.state == ("dead" if attempt == lease.ATTEMPTS - 1 else "queued")
        assert ended.throttles == 2
    assert platform.scalar("SELECT throttles FROM job_runs") == 2 * lease.ATTEMPTS
    assert requested_projects == [None] + [throttled] * (lease.ATTEMPTS - 1)
    named = platform.scalar("SELECT jsonb_path_query_array(errors, '$[*].project_id') FROM job_runs")
    assert named == [denied, throttled]
    reasons.clear()
    with transaction(engine) as connection:
        assert alerts.refresh(connection, AT, plans.load(None)).opened
        again = requests.retry(connection, int(run_id or 0), "somebody")
        run = lease.claim(connection, "one", again)
    dead = "SELECT subject, detail->'projects', resolved_at IS NULL FROM alerts WHERE kind = 'dead_letter'"
    assert platform.rows(dead) == [("hourly p", [denied, throttled], True)]
    assert run is not None
    assert (run.arguments["projects"], run.arguments["sources"]) == ([denied, throttled], ["s3"])
    assert runs.execute(configured, engine, run).errors == []
    assert requested_projects[-2:] == [denied, throttled]
    assert whole not in requested_projects
    with transaction(engine) as connection:
        alerts.refresh(connection, AT, plans.load(None))
    assert platform.rows(dead) == [("hourly p", [denied, throttled], False)]


def test_a_month_waits_for_its_days(engine: Engine) -> None:
    day = ask(engine, "daily", "2026-10-31")
    month, later = ask(engine, "monthly", "2026-10"), ask(engine, "daily", "2026-11-01")
    first = claim(engine)
    assert first is not None
    assert first.id == day
    assert claim(engine) is None, "neither its month nor another day at the same time"
    with transaction(engine) as connection:
        lease.finish(connection, first, "succeeded", {}, [])
    assert {run.id for run in (claim(engine), claim(engine)) if run} == {month, later}


def test_a_slip_of_the_hand_is_no_failed_run(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    platform.project(created_at=AT - hours(24 * 9))
    today = str(AT.date())
    for wrong in ({}, {"from": "x", "to": today}, {"from": today, "to": today}):
        with pytest.raises(PeriodError):
            runs.run_now(configured, engine, "backfill", AT, arguments=wrong)
    assert platform.scalar("SELECT count(*) FROM job_runs") == 0


def test_what_is_behind_is_a_plan_that_anybody_may_see(engine: Engine, platform: Platform) -> None:
    project = platform.project(created_at="2026-10-29T00:00:00Z")
    platform.sql(
        "INSERT INTO project_stats (project_id, open_from, updated_at) VALUES (:id, :at, :at)",
        id=project,
        at="2026-10-30T00:00:00Z",
    )
    at = datetime(2026, 11, 2, 10, tzinfo=UTC)
    with transaction(engine) as connection:
        assert {row["state"] for row in backlog.plan(connection, at)} == {"not asked for"}
        due.enqueue_due(connection, at)
        lease.claim(connection, "one", runs.enqueue(connection, "daily", "2026-10-30", at, "console", "x"))
        plan = backlog.plan(connection, at)
    assert [(row["period"], row["state"]) for row in plan] == [
        ("2026-10-30", "running"),
        ("2026-10-31", "queued"),
        ("2026-11-01", "queued"),
        ("2026-10", "queued"),
    ]
    days = "3 days to seal (2026-10-30 to 2026-11-01), then 1 month to close (2026-10)"
    assert backlog.summary(plan) == days


def test_nothing_of_a_run_lands_once_it_was_taken_over(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = platform.project(created_at=AT - hours(72))
    platform.logs(project, AT - hours(30), 3)
    ask(engine, "backfill", "2026-11-22..2026-11-23")
    days = """UPDATE job_runs SET arguments = '{"from": "2026-11-22", "to": "2026-11-23"}'"""
    for job in ("hourly", "daily", "monthly", "anomalies", "backfill"):
        platform.sql(days)
        platform.sql("UPDATE job_runs SET job = :job, state = 'queued'", job=job)
        run = claim(engine)
        assert run is not None
        platform.sql("UPDATE job_runs SET worker = 'another', attempt = attempt + 1")
        assert runs.execute(configured, engine, run).state == "running"
    written = "SELECT (SELECT count(*) FROM {}) + (SELECT count(*) FROM {}) + (SELECT count(*) FROM {})"
    assert platform.scalar(written.format("usage_hourly", "daily_stats", "project_stats")) == 0


def test_after_an_outage_every_missed_day_is_due_in_order(engine: Engine, platform: Platform) -> None:
    project = platform.project(created_at=AT - hours(24 * 3))
    platform.sql(
        "INSERT INTO project_stats (project_id, open_from, updated_at) VALUES (:id, :at, :at)",
        id=project,
        at=AT.replace(hour=0, minute=0) - hours(24 * 3),
    )
    with transaction(engine) as connection:
        due.enqueue_due(connection, AT)
        due.enqueue_due(connection, AT)
    claimed = []
    while (run := claim(engine)) is not None:
        claimed.append(f"{run.job} {run.period}")
        with transaction(engine) as connection:
            lease.finish(connection, run, "succeeded", {}, [])
    assert claimed == [
        "hourly 2026-11-24T10:00Z",
        "daily 2026-11-21",
        "daily 2026-11-22",
        "daily 2026-11-23",
        f"reconcile {reconciliation.last_complete_hour(AT)}",
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


def fail_in(engine: Engine, thread: str, statement: str = "") -> None:
    """Let the threads of that name fail in a way that nobody foresaw when they send `statement`."""

    def fail(_connection: Any, _cursor: Any, sql: str, *_more: Any) -> None:
        if threading.current_thread().name.startswith(thread) and statement in sql:
            raise UnicodeError("not foreseen")

    event.listen(engine, "before_cursor_execute", fail)


@pytest.mark.parametrize(
    ("thread", "statement"), [("worker", ""), ("worker", "LISTEN"), ("heartbeat", ""), ("alerts", "")]
)
def test_an_unforeseen_error_of_any_thread_ends_the_runner(
    configured: Settings, engine: Engine, thread: str, statement: str
) -> None:
    """A runner whose heartbeat or worker had ended would look alive and do nothing."""
    fail_in(engine, thread, statement)
    stop = threading.Event()
    limit = threading.Timer(30, stop.set)
    limit.start()
    with capture_logs() as logs, pytest.raises(UnicodeError, match="not foreseen"):
        runner.run(configured, engine, stop)
    limit.cancel()
    first = next(entry for entry in logs if entry["log_level"] == "critical")
    assert first["thread"].startswith(thread)
    assert first["reason"] == "UnicodeError: not foreseen"


def test_a_run_whose_lease_nobody_renews_goes_on_no_longer(engine: Engine) -> None:
    ask(engine)
    run = claim(engine)
    assert run
    fail_in(engine, "lease")
    with pytest.raises(UnicodeError), Heartbeat(engine, run, None, None) as heartbeat:
        until(lambda: heartbeat.advance("projects", 1, 2), 30)
    with pytest.raises(UnicodeError), Heartbeat(engine, run, None, None) as heartbeat:
        heartbeat.advance("projects", 1, 2)
        until(lambda: not heartbeat.renewing)


def test_a_bug_ends_the_runner_and_a_refusal_of_the_database_does_not() -> None:
    guard = runner.OutageGuard("worker")
    with capture_logs() as logs:
        assert not guard.run(refuse, LockTimeout("locked"))
        assert not guard.run(refuse, DatabaseUnavailable("away"))
        assert not guard.run(refuse, DatabaseUnavailable("away"))
        assert guard.problem == "away"
        assert guard.run(lambda: True)
    waits = [entry.get("reason") for entry in logs if entry["event"] == "runner.paused"]
    assert waits == ["locked", "away"]
    assert logs[-1]["event"] == "runner.resumed"
    with pytest.raises(KeyError):
        guard.run(lambda: {}["x"])


def refuse(error: Exception) -> None:
    raise error


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
        run_id = ask(engine, "hourly", "asked")
        succeeded = "SELECT state = 'succeeded' FROM job_runs WHERE id = :id"
        until(lambda: platform.scalar(succeeded, id=run_id), 60)
    assert verify(engine).sound


def test_a_job_asked_for_while_another_process_holds_it_returns_that_result(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    platform.project(created_at=AT - hours(72))
    outcomes: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(runs.run_now(configured, engine, "daily", AT)))
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
    outcome = runs.run_now(configured, engine, "daily", AT)
    assert outcome.state == "partial"
    assert [error["project_id"] for error in outcome.errors] == [broken]
    assert platform.rows("SELECT DISTINCT project_id FROM daily_stats") == [(whole,)]


def test_a_dry_run_changes_nothing_and_counts_what_would(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    platform.project(created_at=AT - hours(24))
    preview = runs.run_now(configured, engine, "daily", AT, dry_run=True)
    assert platform.scalar("SELECT count(*) FROM daily_stats") == 0
    outcome = runs.run_now(configured, engine, "daily", AT)
    assert preview.result["days_sealed"] == outcome.result["days_sealed"] == 1


def test_a_backfill_refuses_a_closed_month_and_the_future(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    platform.project(created_at="2026-10-05T00:00:00Z")
    runs.run_now(configured, engine, "monthly", AT)
    with pytest.raises(MonthClosed, match="2026-10 is closed"):
        runs.run_now(configured, engine, "backfill", AT, arguments={"from": "2026-10-06", "to": "2026-10-07"})
    with pytest.raises(PeriodError, match="is not over"):
        runs.run_now(configured, engine, "backfill", AT, arguments={"from": "2026-11-24", "to": "2026-11-24"})


def test_a_backfill_reaches_a_project_that_ended_before_this_month(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    """Its past is billed too: up to the day of deactivation, that day included."""
    project = platform.project(platform.organization("starter"), created_at="2026-10-05T12:00:00Z")
    platform.logs(project, datetime(2026, 10, 20, 9, tzinfo=UTC), 3)
    platform.deactivate(project, datetime(2026, 10, 20, 10, tzinfo=UTC))
    days = {"from": "2026-10-01", "to": "2026-10-31"}
    runs.run_now(configured, engine, "backfill", AT, arguments=days)
    runs.run_now(configured, engine, "monthly", AT)
    bills = "SELECT month, days_present, days_expected, logs FROM monthly_stats"
    assert platform.rows(bills) == [(10, 16, 16, 3)]
    assert verify(engine).discrepancies == []


def test_an_interrupted_run_frees_its_period(engine: Engine, platform: Platform) -> None:
    run = ask(engine)
    claim(engine)
    with transaction(engine) as connection:
        assert requests.cancel(connection, int(run or 0))
        assert not requests.cancel(connection, int(run or 0))
    assert ask(engine) != run


def test_a_retry_does_only_the_projects_that_were_left_out(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    created = AT - hours(24)
    broken, whole = platform.project(created_at=created), platform.project(created_at=created)
    platform.sql(f"ALTER TABLE daily_stats ADD CONSTRAINT broken CHECK (project_id <> {broken})")
    failed = runs.run_now(configured, engine, "daily", AT)
    platform.sql("ALTER TABLE daily_stats DROP CONSTRAINT broken")
    with transaction(engine) as connection:
        again = requests.retry(connection, failed.run_id, "somebody")
        assert again is not None
        run = lease.claim(connection, "one", again)
    assert run is not None
    assert run.arguments == {"projects": [broken], "of": failed.run_id}
    outcome = runs.execute(configured, engine, run)
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


def test_a_request_starts_at_once_beside_a_long_run_and_shows_its_progress(
    configured: Settings, engine: Engine, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def endless(*arguments: Any) -> CollectionResult:
        for finished in range(1, 10_000):
            arguments[5](finished, 10_000)
            if over.wait(0.01):
                break
        return CollectionResult("s3")

    monkeypatch.setattr(GaugeSource, "refresh", endless)
    started = "SELECT extract(epoch FROM started_at - created_at)::float FROM job_runs WHERE id = :id"
    with running(configured, engine):
        alone = """SELECT count(*) = 1 AND bool_and(progress->>'what' = 's3') FROM job_runs
            WHERE state IN ('queued', 'running')"""
        until(lambda: platform.scalar(alone))
        try:
            run_ids = [ask(engine, job, "asked") for job in ("anomalies", "archive")]
            until(lambda: all(platform.scalar(started, id=one) is not None for one in run_ids))
        finally:
            over.set()
    assert min(platform.scalar(started, id=one) for one in run_ids) < 1


def test_a_refresh_that_comes_late_samples_the_hour_in_which_it_runs(
    configured: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[datetime] = []

    def refresh(*arguments: Any) -> CollectionResult:
        read.append(arguments[3])
        return CollectionResult("s3")

    monkeypatch.setattr(GaugeSource, "refresh", refresh)
    began = datetime.now(UTC)
    with transaction(engine) as connection:
        runs.enqueue(connection, "hourly", "late", began - hours(5), "console", "somebody")
    with running(configured, engine):
        until(lambda: len(read) >= 2, 60)  # that one, and the one that is due
    assert min(read) >= began - hours(1)


def test_what_is_due_is_asked_for_without_using_up_ids(engine: Engine, platform: Platform) -> None:
    platform.project(created_at=AT - hours(72))
    for _ in range(3):
        with transaction(engine) as connection:
            due.enqueue_due(connection, AT)
    last = platform.scalar("SELECT max(id) FROM job_runs")
    assert platform.scalar("SELECT last_value FROM job_runs_id_seq") == last


def test_a_discarded_dead_letter_rests(engine: Engine, platform: Platform) -> None:
    run_id = ask(engine)
    assert run_id
    platform.sql("UPDATE job_runs SET state = 'dead', finished_at = now()")
    with transaction(engine) as connection:
        assert requests.discard(connection, run_id)
        assert not requests.discard(connection, run_id)
    assert platform.rows("SELECT state FROM job_runs") == [("cancelled",)]
