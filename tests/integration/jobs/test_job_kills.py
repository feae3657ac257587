"""Runners killed and frozen at random points: nothing is skipped, doubled or half done.

After each storm `verify` is sound and every sealed day, bill and adjustment is the same, hash for
hash, as after a run that nobody disturbed.
"""

import multiprocessing
import os
import random
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import URL, Engine, text

from jobs import due
from metering.catalogue import projects
from metering.catalogue.periods import Day, days
from metering.config.settings import Settings
from metering.db.engine import open_engine
from metering.db.transactions import chunks, transaction
from metering.ledger.mqtt import MqttUsage, add_mqtt
from metering.proof.verify import verify
from metering.runs import lease
from tests.support import job_worker, runs
from tests.support.platform import Platform, hours
from tests.support.until import until

AT = datetime(2026, 11, 3, 10, 30, tzinfo=UTC)
CREATED = "2026-10-18T00:00:00Z"
PROJECTS = 12

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.support.job_worker"])


def a_fleet(engine: Engine, platform: Platform) -> list[int]:
    """Projects with rows and messages on every day from their creation to AT, over a month's end."""
    organization = platform.organization("starter")
    ids = [platform.project(organization, created_at=CREATED) for _ in range(PROJECTS)]
    platform.sql(
        """INSERT INTO logs (project_id, size_bytes, created_at)
        SELECT p, 10, at + p * interval '1 minute' FROM unnest(CAST(:ids AS bigint[])) p,
            generate_series(CAST(:from AS timestamptz), :until, interval '5 hours') at""",
        ids=ids,
        until=AT,
        **{"from": CREATED},
    )
    for day in days(Day.parse("2026-10-18"), Day.of(AT).previous()):
        with transaction(engine) as connection:
            projects.ensure(connection, ids, day.start)
            usage = {(organization, one): MqttUsage(1000 * one, 5, 10, 1, "t") for one in ids}
            add_mqtt(connection, usage, day.start + hours(3))
    return ids


def ask_for_everything(engine: Engine) -> None:
    with transaction(engine) as connection:
        due.enqueue_due(connection, AT)


def books(platform: Platform) -> list[Any]:
    return [
        platform.rows("SELECT project_id, date, row_hash FROM daily_stats ORDER BY 1, 2"),
        platform.rows("SELECT project_id, year, month, seal FROM monthly_stats ORDER BY 1, 2, 3"),
        platform.rows("SELECT project_id, meter, quantity FROM adjustments ORDER BY 1, 2"),
        platform.rows("SELECT project_id, logs, mqtt_inbound, lifetime_logs FROM project_stats ORDER BY 1"),
    ]


def remaining_runs(platform: Platform) -> int:
    return int(platform.scalar("SELECT count(*) FROM job_runs WHERE state IN ('queued', 'running')") or 0)


def spent_leases(platform: Platform) -> None:
    """As if the lease of whoever died had passed, and the wait of what is tried again."""
    platform.sql(
        """UPDATE job_runs SET heartbeat_at = heartbeat_at - interval '1 minute', next_attempt_at = now()
        WHERE state IN ('queued', 'running')"""
    )


def cut_off(platform: Platform) -> None:
    """As a restart of the database does to everybody connected."""
    platform.sql(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()"""
    )


def worker(url: URL) -> Any:
    process = FORKS.Process(
        target=job_worker.work, args=(url.render_as_string(hide_password=False),), daemon=True
    )
    process.start()
    return process


def undisturbed(engine: Engine, platform: Platform, url: URL) -> list[Any]:
    ask_for_everything(engine)
    while remaining_runs(platform):
        worker(url).join(120)
    return books(platform)


def storm(platform: Platform, url: URL, seed: int, most: int, longest: float) -> int:
    """Kill a worker within `longest` seconds, again and again, until everything is done all the same."""
    chance, kills = random.Random(seed), 0
    while remaining_runs(platform):
        process = worker(url)
        process.join(chance.uniform(0.02, longest) if kills < most else 120)
        if process.is_alive() and chance.random() < 0.3:
            cut_off(platform)
            process.join(chance.uniform(0.02, longest))  # it may go on, and is killed then
        if process.is_alive():
            process.kill()
            process.join()
            kills += 1
        spent_leases(platform)
    return kills


def compare(engine: Engine, platform: Platform, admin: Any, url: URL, seeds: list[int], most: int) -> int:
    a_fleet(engine, platform)
    engine.dispose()
    names = [f"{url.database}_{seed}" for seed in seeds]
    for name in names:
        admin.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{url.database}"'))
    began = time.monotonic()
    expected = undisturbed(engine, platform, url)
    longest = (time.monotonic() - began) / 6  # however fast the machine, there is time to kill
    assert expected[1], "a month was closed"
    kills = 0
    for seed, name in zip(seeds, names, strict=True):
        other = open_engine(
            Settings(database_url=url.set(database=name).render_as_string(hide_password=False))  # type: ignore[arg-type]
        )
        ask_for_everything(other)
        kills += storm(Platform(other), url.set(database=name), seed, most, longest)
        assert books(Platform(other)) == expected, f"seed {seed}"
        assert verify(other).sound, f"seed {seed}"
        other.dispose()
        admin.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    return kills


def test_killed_at_random_points_the_books_are_the_same(
    engine: Engine, platform: Platform, admin: Any, url: URL
) -> None:
    assert compare(engine, platform, admin, url, [1], most=10) > 0


@pytest.mark.drill
@pytest.mark.timeout(1800)
def test_killed_hundreds_of_times_the_books_are_the_same(
    engine: Engine, platform: Platform, admin: Any, url: URL, capsys: pytest.CaptureFixture[str]
) -> None:
    kills = compare(engine, platform, admin, url, list(range(2, 12)), most=25)
    with capsys.disabled():
        print(f"\nrunners killed with SIGKILL: {kills} times over 10 seeds; the books are the same")
    assert kills >= 50


def test_a_runner_told_to_stop_finishes_its_chunk_and_leaves_the_rest(
    configured: Settings, engine: Engine, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_fleet(engine, platform)
    monkeypatch.setattr(chunks, "__defaults__", (3,))
    with transaction(engine) as connection:
        run_id = runs.enqueue(connection, "daily", "2026-11-02", AT, "schedule", "schedule")
        run = lease.claim(connection, "leaving", run_id)
    assert run is not None
    leave = threading.Event()

    def after_the_first_chunk(what: str, finished: int, _: int) -> None:
        if what == "sealing" and finished == 3:
            leave.set()

    left_it = runs.execute(configured, engine, run, after_the_first_chunk, leave)
    assert left_it.state == "queued"
    assert platform.scalar("SELECT count(DISTINCT project_id) FROM daily_stats") == 3
    with transaction(engine) as connection:
        again = lease.claim(connection, "next")
    assert again is not None
    assert runs.execute(configured, engine, again).state == "succeeded"
    assert platform.scalar("SELECT count(DISTINCT project_id) FROM daily_stats") == PROJECTS
    assert verify(engine).sound


def test_eight_closers_at_once_make_one_bill_a_project(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    a_fleet(engine, platform)
    outcomes = []
    closers = [
        threading.Thread(
            target=lambda: outcomes.append(runs.run_now(configured, engine, "monthly", AT).state)
        )
        for _ in range(8)
    ]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join()
    assert outcomes == ["succeeded"] * 8
    assert platform.scalar("SELECT count(*) FROM monthly_stats") == PROJECTS
    assert verify(engine).sound


@pytest.mark.drill
def test_a_frozen_runner_holds_up_nobody_and_its_late_writes_do_not_land(
    engine: Engine, platform: Platform, url: URL
) -> None:
    a_fleet(engine, platform)
    ask_for_everything(engine)
    frozen = worker(url)
    until(lambda: platform.scalar("SELECT count(*) FROM daily_stats"), pause=0.01)
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        names = [name for (name,) in platform.rows("SELECT worker FROM job_runs WHERE state = 'running'")]
        while remaining_runs(platform):
            # Its lease is spent, and only its own: the others are slow at most.
            platform.sql(
                """UPDATE job_runs SET heartbeat_at = heartbeat_at - interval '1 minute'
                WHERE state = 'running' AND worker = ANY(:held)""",
                held=names,
            )
            worker(url).join(60)
            assert time.monotonic() - started < 150, "the frozen one holds up the others"
        before = books(platform)
        runs = platform.rows("SELECT id, state, worker, attempt FROM job_runs ORDER BY id")
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    frozen.join(60)
    assert not frozen.is_alive()
    assert books(platform) == before
    assert platform.rows("SELECT id, state, worker, attempt FROM job_runs ORDER BY id") == runs
    assert verify(engine).sound


@pytest.mark.drill
def test_a_clock_that_jumps_changes_nothing(configured: Settings, engine: Engine, platform: Platform) -> None:
    a_fleet(engine, platform)

    def work_off(at: datetime) -> None:
        with transaction(engine) as connection:
            due.enqueue_due(connection, at)
        while True:
            with transaction(engine) as connection:
                run = lease.claim(connection, "one")
            if run is None:
                return
            runs.execute(configured, engine, run)

    work_off(AT)
    before = books(platform)[:3]
    for jump in (timedelta(hours=-3), timedelta(days=-9), timedelta(days=-40)):
        work_off(AT + jump)
    assert books(platform)[:3] == before
    work_off(AT + timedelta(days=35))
    assert platform.rows("SELECT DISTINCT year, month FROM monthly_stats ORDER BY 1, 2") == [
        (2026, 10),
        (2026, 11),
    ]
    assert verify(engine).sound
