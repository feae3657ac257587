"""What a job reads is dated when it was read, however late the job runs and whichever instant it is for."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from collectors.platform.source import PLATFORM_DB
from jobs import due, runner
from metering.config.settings import Settings
from metering.db.transactions import session_lock, transaction
from metering.proof.verify import verify
from metering.runs import lease
from metering.runs.lease import Run
from tests.support import runs
from tests.support.platform import Platform

BEFORE = datetime(2026, 1, 30, 20, tzinfo=UTC)  # the last reading before the outage
CHANGE = datetime(2026, 2, 1, 12, tzinfo=UTC)
AFTER = datetime(2026, 2, 2, 9, tzinfo=UTC)  # the runners are back


@pytest.fixture
def moved(configured: Settings, engine: Engine, platform: Platform) -> tuple[int, int, int]:
    """A project of tier `pro` that moved to an organization of tier `free` on 1 February, in an outage."""
    old, new = platform.organization("pro"), platform.organization("free")
    project = platform.project(old, created_at="2026-01-25T00:00:00Z")
    platform.logs(project, datetime(2026, 1, 28, 9, tzinfo=UTC), 3)
    runs.run_now(configured, engine, "daily", datetime(2026, 1, 30, 0, 1, tzinfo=UTC))
    runs.run_now(configured, engine, "hourly", BEFORE)
    platform.sql("UPDATE projects SET organization_id = :new WHERE id = :id", new=new, id=project)
    platform.sql("UPDATE organizations SET tier = 'free' WHERE id = :old", old=old)
    return project, old, new


def claim(engine: Engine, worker: str) -> Run | None:
    with transaction(engine) as connection:
        return lease.claim(connection, worker)


def work_off(configured: Settings, engine: Engine, at: datetime, without: str = "") -> None:
    """Ask for what is due at `at`, and do all of it but the job `without`, as runners do at `AFTER`."""
    with transaction(engine) as connection:
        due.enqueue_due(connection, at)
    while (run := claim(engine, "one")) is not None:
        if run.job == without:
            with transaction(engine) as connection:
                lease.finish(connection, run, "cancelled", {}, [])
        else:
            runs.execute(configured, engine, runner.timely(run, AFTER))


def january(platform: Platform) -> list[tuple[int, str]]:
    """Return owner and tier of January's bill, then of its last days."""
    bill = "SELECT organization_id, tier FROM monthly_stats WHERE (year, month) = (2026, 1)"
    days = """SELECT DISTINCT organization_id, tier FROM daily_stats
        WHERE date BETWEEN '2026-01-30' AND '2026-01-31'"""
    return [tuple(row) for row in platform.rows(bill) + platform.rows(days)]


@pytest.mark.parametrize("without", ["", "hourly"], ids=["all", "hourly paused"])
def test_a_late_seal_bills_january_as_it_was(
    configured: Settings, engine: Engine, platform: Platform, moved: tuple[int, int, int], without: str
) -> None:
    _, old, new = moved
    work_off(configured, engine, AFTER, without)
    work_off(configured, engine, AFTER + timedelta(minutes=2), without)
    assert january(platform) == [(old, "pro"), (old, "pro")]
    first_of_february = "SELECT organization_id, tier FROM daily_stats WHERE date = '2026-02-01'"
    assert platform.rows(first_of_february) == [(old, "pro")], "it was read on the 2nd"
    read = "SELECT min(read_from) FROM organization_tiers WHERE tier = 'free' AND organization_id = :old"
    assert platform.scalar(read, old=old) >= AFTER
    assert platform.scalar("SELECT count(*) FROM project_owners WHERE organization_id = :new", new=new) == 1
    assert verify(engine).discrepancies == []


@pytest.mark.parametrize("first", [0, 1])
def test_two_runners_that_race_after_an_outage_bill_january_as_it_was(
    configured: Settings, engine: Engine, platform: Platform, moved: tuple[int, int, int], first: int
) -> None:
    _, old, _ = moved
    with transaction(engine) as connection:
        due.enqueue_due(connection, AFTER)
    claimed = [claim(engine, worker) for worker in ("one", "two")]
    assert [run and run.job for run in claimed] == ["hourly", "daily"]
    for run in (claimed[first], claimed[1 - first]):
        assert run is not None
        assert runs.execute(configured, engine, runner.timely(run, AFTER)).state == "succeeded"
    work_off(configured, engine, AFTER + timedelta(minutes=2))
    assert january(platform) == [(old, "pro"), (old, "pro")]
    assert verify(engine).discrepancies == []


def test_a_job_in_time_keeps_its_instant_and_a_chosen_one_is_kept(engine: Engine) -> None:
    with transaction(engine) as connection:
        runs.enqueue(connection, "daily", "2026-02-01", CHANGE, "schedule", "schedule")
    run = claim(engine, "one")
    assert run is not None
    soon, much_later = CHANGE + timedelta(minutes=9), CHANGE + timedelta(days=2)
    assert runner.timely(run, soon).at == CHANGE, "what an earlier attempt has read is not read again"
    assert runner.timely(run, much_later).at == much_later
    with transaction(engine) as connection:
        lease.finish(connection, run, "succeeded", {}, [])
        runs.enqueue(connection, "daily", "2026-01-30", CHANGE, "api", "somebody")
    run = claim(engine, "one")
    assert run is not None
    assert (runner.timely(run, much_later).at, runner.timely(run, much_later).read_at) == (
        CHANGE,
        much_later,
    )


def test_a_reading_that_waited_for_another_one_is_dated_when_it_was_made(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    organization = platform.organization("pro")
    platform.project(organization)
    began = threading.Event()

    def refresh() -> None:
        began.set()
        at = datetime.now(UTC)
        PLATFORM_DB.refresh(configured, engine, at, read_at=at)

    reader = threading.Thread(target=refresh)
    with session_lock(engine, "platform_db"):
        reader.start()
        began.wait()
        changed = datetime.now(UTC)
        platform.sql("UPDATE organizations SET tier = 'free' WHERE id = :id", id=organization)
    reader.join()
    assert platform.scalar("SELECT min(read_from) >= :at FROM organization_tiers", at=changed)
