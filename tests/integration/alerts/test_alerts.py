"""Alerts: what is wrong opens one alert, what is mended resolves it, and nothing opens twice."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from metering.alerts import alerts
from metering.alerts.alerts import Changes
from metering.catalogue import projects
from metering.catalogue.periods import Day
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.errors import UnknownAlert
from metering.ledger import sessions
from metering.ledger.partitions import ensure_partitions
from metering.months import gaps
from metering.pricing import plans
from metering.runs import lease, requests
from tests.support import runs
from tests.support.gaps import open_gap
from tests.support.platform import Platform, hours

AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
TODAY = Day.of(AT).start
Look = Callable[..., Changes]

PLANS = """
[[versions]]
effective = 2024-01-01
currency = "EUR"
[versions.tiers.free]
projects = 5
[versions.tiers.free.meters.logs]
included = 100
limit = "hard"
"""


@pytest.fixture
def look(engine: Engine, tmp_path: Path) -> Look:
    path = tmp_path / "plans.toml"
    path.write_text(PLANS)
    offered = plans.load(path)

    def look(at: datetime = AT) -> Changes:
        with transaction(engine) as connection:
            return alerts.refresh(connection, at, offered)

    return look


def open_alerts(platform: Platform, kind: str) -> list[tuple[str, str, int | None]]:
    query = """SELECT subject, severity, project_id FROM alerts
        WHERE kind = :kind AND resolved_at IS NULL ORDER BY subject"""
    return [tuple(row) for row in platform.rows(query, kind=kind)]


def finish(engine: Engine, state: str, errors: list[object], job: str = "hourly", period: str = "p") -> int:
    with transaction(engine) as connection:
        # The database tells by its own clock when a run ended, so it is asked for by that clock too.
        run_id = runs.enqueue(connection, job, period, datetime.now(UTC), "console", "somebody")
        run = lease.claim(connection, "one", run_id)
        assert run
        lease.finish(connection, run, state, {}, errors)
        return run.id


def test_a_quiet_installation_has_no_alert(look: Look) -> None:
    assert look() == Changes(0, 0)


def test_a_failed_job_opens_one_alert_and_a_later_success_resolves_it(
    engine: Engine, platform: Platform, look: Look
) -> None:
    finish(engine, "failed", [{"error": "denied"}])
    now = datetime.now(UTC)
    assert (look(now), look(now)) == (Changes(1, 0), Changes(0, 0))
    assert open_alerts(platform, "job_failed") == [("hourly", "critical", None)]
    finish(engine, "succeeded", [])
    assert look(now) == Changes(0, 1)
    assert open_alerts(platform, "job_failed") == []


def test_a_run_that_left_one_project_out_is_a_warning_until_a_run_leaves_none_out(
    engine: Engine, platform: Platform, look: Look
) -> None:
    project = platform.project()
    failures = [{"project_id": project, "error": "broken"}]
    now = datetime.now(UTC)
    finish(engine, "succeeded", failures)
    look(now)
    assert open_alerts(platform, "job_failed") == [("hourly", "warning", None)]
    finish(engine, "succeeded", failures)
    assert look(now) == Changes(0, 0), "the same trouble goes on"
    finish(engine, "succeeded", [])
    assert look(now) == Changes(0, 1)


def test_a_backfill_is_mended_by_the_same_days_only(engine: Engine, platform: Platform, look: Look) -> None:
    finish(engine, "failed", [{"error": "x"}], "backfill", "2026-11-01..2026-11-02")
    finish(engine, "succeeded", [], "backfill", "2026-11-05..2026-11-05")
    now = datetime.now(UTC)
    look(now)
    assert open_alerts(platform, "job_failed") == [("backfill 2026-11-01..2026-11-02", "critical", None)]


def test_a_dead_letter_waits_until_it_is_asked_for_again(
    engine: Engine, platform: Platform, look: Look
) -> None:
    with transaction(engine) as connection:
        run_id = runs.enqueue(connection, "daily", "2026-11-23", AT, "schedule", "schedule")
    platform.sql("UPDATE job_runs SET state = 'dead', finished_at = now(), attempt = 5")
    look()
    assert open_alerts(platform, "dead_letter") == [("daily 2026-11-23", "critical", None)]
    with transaction(engine) as connection:
        assert requests.retry(connection, int(run_id or 0), "somebody")
    look()
    assert open_alerts(platform, "dead_letter") == []


def test_a_request_nobody_works_on_is_late(engine: Engine, platform: Platform, look: Look) -> None:
    with transaction(engine) as connection:
        runs.enqueue(connection, "daily", "2026-11-23", AT, "schedule", "schedule")
    now = datetime.now(UTC)
    look(now)
    assert open_alerts(platform, "job_late") == []
    look(now + timedelta(minutes=16))
    assert open_alerts(platform, "job_late") == [("daily", "warning", None)]


def test_a_month_that_leaves_projects_open_is_named_until_a_close_leaves_none(
    engine: Engine, platform: Platform, look: Look
) -> None:
    now = datetime.now(UTC)
    for blocked in ({"7 in 2026-10": "gap 1: mqtt was blind"}, {}):
        with transaction(engine) as connection:
            run_id = runs.enqueue(connection, "monthly", "2026-10", now, "console", "somebody")
            run = lease.claim(connection, "one", run_id)
            assert run
            lease.finish(connection, run, "succeeded", {"blocked": blocked}, [])
        look(now)
        expected = [("monthly", "warning", None)] if blocked else []
        assert open_alerts(platform, "month_blocked") == expected


def test_a_silent_counter_opens_an_alert_and_its_return_resolves_it(platform: Platform, look: Look) -> None:
    platform.sql(
        "INSERT INTO mqtt_sessions (client_id, epoch, session_started_at, last_seen_at)"
        " VALUES ('c', 1, :from, :seen)",
        **{"from": AT - hours(9), "seen": AT - timedelta(minutes=3)},
    )
    look()
    assert open_alerts(platform, "counter_silent") == [("c", "critical", None)]
    platform.sql("UPDATE mqtt_sessions SET last_seen_at = :at", at=AT)
    look()
    assert open_alerts(platform, "counter_silent") == []


def test_a_lost_session_is_open_until_somebody_accepts_the_gap(
    engine: Engine, platform: Platform, look: Look
) -> None:
    with transaction(engine) as connection:
        open_gap(connection, "mqtt", AT - hours(2), AT - hours(1), "x", kind="session_lost")
    look()
    gap = platform.scalar("SELECT id FROM gaps")
    assert open_alerts(platform, "session_lost") == [(f"gap {gap}", "critical", None)]
    with transaction(engine) as connection:
        gaps.accept(connection, gap, "known outage", "somebody", AT)
    look()
    assert open_alerts(platform, "session_lost") == []


def test_another_client_under_a_counters_id_is_critical_until_the_gap_is_accepted(
    engine: Engine, platform: Platform, look: Look
) -> None:
    with transaction(engine) as connection:
        sessions.open_takeover(connection, "fleetmeter-1", AT - hours(1))
        sessions.open_takeover(connection, "fleetmeter-1", AT)  # it goes on: one gap
    look()
    assert open_alerts(platform, "client_id_taken") == [("fleetmeter-1", "critical", None)]
    with transaction(engine) as connection:
        sessions.close_takeover(connection, "fleetmeter-1", AT)
        gap = connection.scalar(text("SELECT id FROM gaps"))
        gaps.accept(connection, gap, "the device is blocked", "somebody", AT)
    look()
    assert open_alerts(platform, "client_id_taken") == []


def test_a_missing_snapshot_is_named_an_hour_after_midnight_and_goes_with_the_seal(
    engine: Engine, platform: Platform, look: Look
) -> None:
    project = platform.project(created_at=TODAY - hours(24))
    look(TODAY + timedelta(minutes=30))
    assert open_alerts(platform, "snapshot_missing") == []
    look(TODAY + timedelta(minutes=61))
    assert open_alerts(platform, "snapshot_missing") == [("daily snapshots", "warning", project)]
    with transaction(engine) as connection:
        projects.ensure(connection, [project], AT)
        seal_through(connection, Day.of(AT).previous(), [project], AT)
    look()
    assert open_alerts(platform, "snapshot_missing") == []


def test_a_day_measured_in_part_says_so_for_a_week(engine: Engine, platform: Platform, look: Look) -> None:
    project = platform.project(created_at=TODAY - hours(24))
    platform.sql(
        "INSERT INTO mqtt_sessions (client_id, session_started_at, last_seen_at) VALUES ('c', :from, :at)",
        **{"from": TODAY - hours(24), "at": AT},
    )
    with transaction(engine) as connection:
        open_gap(connection, "mqtt", TODAY - hours(5), TODAY - hours(3), "the broker lost it")
        projects.ensure(connection, [project], AT)
        seal_through(connection, Day.of(AT).previous(), [project], AT)
    look()
    assert open_alerts(platform, "coverage") == [("mqtt", "warning", project)]
    assert platform.rows("SELECT detail->'hours', detail->'of' FROM alerts WHERE kind = 'coverage'") == [
        (22, 24)
    ]
    platform.sql("UPDATE mqtt_sessions SET last_seen_at = :at", at=AT + hours(24 * 8))
    look(AT + hours(24 * 8))
    assert open_alerts(platform, "coverage") == []


def logs(engine: Engine, project: int, count: int, at: datetime) -> None:
    with transaction(engine) as connection:
        projects.ensure(connection, [project], at)
        ensure_partitions(engine, at)
        connection.exec_driver_sql(
            "UPDATE project_stats SET logs = %s, platform_db_measured_at = %s WHERE project_id = %s",
            (count, at, project),
        )


def test_a_limit_warns_at_80_and_at_100_percent_and_again_the_next_month(
    engine: Engine, platform: Platform, look: Look
) -> None:
    project = platform.project(created_at=TODAY)
    logs(engine, project, 79, AT)
    look()
    assert open_alerts(platform, "limit") == []
    logs(engine, project, 80, AT)
    look()
    assert open_alerts(platform, "limit") == [("logs 2026-11", "warning", project)]
    logs(engine, project, 100, AT)
    look()
    assert open_alerts(platform, "limit") == [("logs 2026-11", "critical", project)]
    platform.sql("UPDATE project_stats SET logs = 80, open_from = '2026-12-01Z'")
    look(datetime(2026, 12, 20, tzinfo=UTC))
    assert open_alerts(platform, "limit") == [("logs 2026-12", "warning", project)]


def test_an_organizations_allowance_warns_too(platform: Platform, look: Look) -> None:
    organization = platform.organization()
    for _ in range(4):
        platform.project(organization, created_at=TODAY)
    look()
    assert open_alerts(platform, "limit") == [
        (f"projects of organization {organization} 2026-11", "warning", None)
    ]


def test_a_count_that_differs_from_the_brokers_is_named_for_a_day(platform: Platform, look: Look) -> None:
    platform.sql(
        """INSERT INTO reconciliations (hour, source, theirs, ours, parts, at) VALUES
        (:hour, 'cloudwatch', 100000, 98000, '{}', :hour),
        (CAST(:hour AS timestamptz) - interval '1 hour', 'cloudwatch', 100000, 99900, '{}', :hour)""",
        hour=AT - timedelta(hours=3, minutes=30),
    )
    look()
    assert open_alerts(platform, "drift") == [("cloudwatch", "warning", None)]
    look(AT + timedelta(days=1))
    assert open_alerts(platform, "drift") == []


def test_acknowledging_keeps_who_and_why_and_the_alert_open(
    engine: Engine, platform: Platform, look: Look
) -> None:
    finish(engine, "failed", [{"error": "denied"}])
    now = datetime.now(UTC)
    look(now)
    alert = platform.scalar("SELECT id FROM alerts")
    with transaction(engine) as connection:
        alerts.acknowledge(connection, alert, "ada", "the key is ordered")
    look(now)
    assert platform.rows("SELECT acknowledged_by, resolved_at FROM alerts") == [("ada", None)]
    assert platform.rows("SELECT actor, reason FROM audit_log WHERE action = 'acknowledge'") == [
        ("ada", "the key is ordered")
    ]
    with pytest.raises(UnknownAlert), transaction(engine) as connection:
        alerts.acknowledge(connection, 999, "ada", "")
