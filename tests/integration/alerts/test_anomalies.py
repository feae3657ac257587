"""Anomalies: what the days before do not explain is found once; new, flat and sparse projects are quiet."""

import math
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from metering.alerts import alerts, anomalies, expected_usage
from metering.catalogue.periods import Day
from metering.config.settings import Settings
from metering.db.transactions import chunks, transaction
from metering.pricing import plans
from tests.support import runs
from tests.support.platform import Platform

FIRST = date(2026, 5, 4)
DAYS = 200
AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
Usage = Callable[[int], float]


def weekly(day: int, noise: random.Random) -> float:
    level = 10_000 + 20 * day
    weekend = 0.6 if (FIRST + timedelta(days=day)).weekday() >= 5 else 1.0
    return level * weekend * math.exp(noise.gauss(0, 0.05))


def sealed(
    platform: Platform, usage: list[float], coverage: str = "{}", skip: Any = (), since: int = 0
) -> int:
    project = platform.project(created_at="2026-01-01T00:00:00Z")
    organization = platform.scalar("SELECT organization_id FROM projects WHERE id = :id", id=project)
    platform.sql(
        "INSERT INTO project_stats (project_id, open_from, updated_at) VALUES (:id, :at, :at)",
        id=project,
        at=AT,
    )
    seal(platform, project, organization, usage, coverage, skip, since)
    return project


def seal(
    platform: Platform,
    project: int,
    organization: int,
    usage: list[float],
    coverage: str = "{}",
    skip: Any = (),
    since: int = 0,
) -> None:
    numbers = [day for day in range(since, len(usage)) if day not in skip]
    platform.sql(
        """INSERT INTO daily_stats (project_id, date, organization_id, year, month, day, mqtt_inbound, tier,
            coverage, row_hash)
        SELECT :id, d, :org, extract(year FROM d), extract(month FROM d), extract(day FROM d), n, 'free',
            CAST(:coverage AS jsonb), 'x'
        FROM unnest(CAST(:dates AS date[]), CAST(:usage AS bigint[])) AS u (d, n)""",
        id=project,
        org=organization,
        dates=[FIRST + timedelta(days=day) for day in numbers],
        usage=[round(usage[day]) for day in numbers],
        coverage=coverage,
    )


def anomaly_days(platform: Platform) -> list[tuple[int, str]]:
    return [
        tuple(row)
        for row in platform.rows(
            "SELECT project_id, detail->>'date' FROM alerts WHERE kind = 'anomaly' ORDER BY 1, 2"
        )
    ]


def run(configured: Settings, engine: Engine) -> int:
    return int(runs.run_now(configured, engine, "anomalies", AT).result["anomalies"])


@pytest.fixture
def demand() -> list[float]:
    noise = random.Random(5)
    return [weekly(day, noise) for day in range(DAYS)]


def test_a_spike_and_a_collapse_are_found_and_ordinary_weeks_are_not(
    configured: Settings, engine: Engine, platform: Platform, demand: list[float]
) -> None:
    demand[150] *= 1.8
    demand[171] *= 0.3
    project = sealed(platform, demand)
    run(configured, engine)
    days = [str(FIRST + timedelta(days=day)) for day in (150, 171)]
    assert anomaly_days(platform) == [(project, day) for day in days]
    detail = platform.rows("SELECT subject, detail FROM alerts ORDER BY id")[0]
    assert detail[0] == days[0]
    assert detail[1]["expected_low"] < detail[1]["expected_high"] < detail[1]["actual"] == round(demand[150])
    assert set(detail[1]) == {"meter", "unit", "date", "expected_low", "expected_high", "actual", "meters"}


def test_days_sealed_before_the_project_was_ever_counted_are_judged(
    configured: Settings, engine: Engine, platform: Platform, demand: list[float]
) -> None:
    demand[150] *= 3
    project = sealed(platform, demand)
    platform.sql("DELETE FROM project_stats")
    run(configured, engine)
    assert (project, str(FIRST + timedelta(days=150))) in anomaly_days(platform)


def test_judging_twice_changes_nothing(
    configured: Settings, engine: Engine, platform: Platform, demand: list[float]
) -> None:
    demand[150] *= 2
    sealed(platform, demand)
    assert (run(configured, engine), run(configured, engine)) == (1, 0)
    platform.sql("UPDATE alerts SET resolved_at = now()")
    platform.sql("UPDATE project_stats SET judged_at = NULL")
    assert run(configured, engine) == 0, "one alert a project and date, for ever"


def test_a_day_is_judged_only_from_the_days_before_it(
    configured: Settings, engine: Engine, platform: Platform, demand: list[float]
) -> None:
    demand[160] *= 1.6
    del demand[175:]
    whole = sealed(platform, demand)
    daily = sealed(platform, demand[:160])
    run(configured, engine)
    organization = platform.scalar("SELECT organization_id FROM projects WHERE id = :id", id=daily)
    for day in range(160, len(demand)):
        seal(platform, daily, organization, demand[: day + 1], since=day)
        run(configured, engine)
    one, other = ([d for p, d in anomaly_days(platform) if p == project] for project in (whole, daily))
    assert one == other != []


def test_a_new_level_is_news_for_two_days_and_rarely_while_the_longer_memory_follows(
    configured: Settings, engine: Engine, platform: Platform, demand: list[float]
) -> None:
    sealed(platform, [value * (3 if day >= 150 else 1) for day, value in enumerate(demand)])
    run(configured, engine)
    dates = [date.fromisoformat(day) for _, day in anomaly_days(platform)]
    assert dates[:2] == [FIRST + timedelta(days=150), FIRST + timedelta(days=151)]
    assert len(dates) <= 6
    assert max(dates) < FIRST + timedelta(days=190)


def test_weekends_that_are_less_regular_than_working_days_are_no_news(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    noise = random.Random(3)

    def usage(day: int) -> float:
        weekend = (FIRST + timedelta(days=day)).weekday() >= 5
        return 10_000 * math.exp(noise.gauss(0, 0.3 if weekend else 0.03))

    days = [usage(day) for day in range(DAYS)]
    days[150] = 14_000  # a Thursday: more than working days ever are, and no more than a Sunday
    project = sealed(platform, days)
    assert run(configured, engine) <= 3
    assert (project, str(FIRST + timedelta(days=150))) in anomaly_days(platform)


def test_new_flat_sparse_and_unused_projects_are_quiet(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    noise = random.Random(7)
    sealed(platform, [5_000.0] * DAYS)
    sealed(platform, [0.0] * DAYS)
    sealed(platform, [noise.choice([0, 0, 0, 0, 40]) for _ in range(DAYS)])
    sealed(platform, [noise.randrange(0, 9) for _ in range(DAYS)])
    sealed(platform, [noise.lognormvariate(8, 1) for _ in range(20)])
    run(configured, engine)
    assert anomaly_days(platform) == []


def test_what_was_not_measured_is_neither_judged_nor_learnt_from(
    configured: Settings, engine: Engine, platform: Platform, demand: list[float]
) -> None:
    project = sealed(platform, demand, skip=(150, 151))
    organization = platform.scalar("SELECT organization_id FROM projects WHERE id = :id", id=project)
    seal(platform, project, organization, [0.0] * 151, '{"mqtt": {"state": "partial"}}', since=150)
    run(configured, engine)
    assert anomaly_days(platform) == []


def test_a_day_that_was_sealed_late_is_judged_too(
    configured: Settings, engine: Engine, platform: Platform, demand: list[float]
) -> None:
    demand[150] *= 2
    project = sealed(platform, demand, skip=(150,))
    run(configured, engine)
    assert anomaly_days(platform) == []
    organization = platform.scalar("SELECT organization_id FROM projects WHERE id = :id", id=project)
    seal(platform, project, organization, demand[:151], since=150)
    run(configured, engine)
    assert anomaly_days(platform) == [(project, str(FIRST + timedelta(days=150)))]


def test_killed_half_way_the_rest_is_judged_by_the_next_run(
    engine: Engine, platform: Platform, demand: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    demand[150] *= 2
    ids = [sealed(platform, demand) for _ in range(4)]
    monkeypatch.setattr(chunks, "__defaults__", (2,))

    def stop_after_the_first(_: str, completed: int, __: int) -> None:
        if completed:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        anomalies.judge(engine, ids, AT, stop_after_the_first)
    before = len(anomaly_days(platform))
    anomalies.judge(engine, ids, AT)
    assert before <= len(anomaly_days(platform)) == 4


def test_an_unusual_day_is_news_for_a_week(
    configured: Settings, engine: Engine, platform: Platform, demand: list[float]
) -> None:
    demand[150] *= 2
    demand[199] *= 2  # 2026-11-19
    sealed(platform, demand)
    run(configured, engine)
    open_days = "SELECT detail->>'date' FROM alerts WHERE kind = 'anomaly' AND resolved_at IS NULL"
    assert platform.rows(open_days) == [("2026-11-19",)]
    for later, days in ((1, [("2026-11-19",)]), (3, [])):
        with transaction(engine) as connection:
            alerts.refresh(connection, AT + timedelta(days=later), plans.load(None))
        assert platform.rows(open_days) == days


def test_a_chart_shows_the_band_that_judged(engine: Engine, platform: Platform) -> None:
    noise = random.Random(7)
    usage = [weekly(day, noise) for day in range(DAYS)]
    usage[190] *= 5
    project = sealed(platform, usage)
    assert anomalies.judge(engine, [project], AT) >= 1
    day = Day(FIRST + timedelta(days=190))
    detail = platform.scalar("SELECT detail FROM alerts WHERE detail->>'date' = :day", day=str(day))
    with transaction(engine) as connection:
        early = expected_usage.expectations(connection, project, "mqtt_inbound", Day(FIRST), Day(FIRST))
        (expectation,) = expected_usage.expectations(connection, project, "mqtt_inbound", day, day)
    assert (expectation.low, expectation.high) == (detail["expected_low"], detail["expected_high"])
    assert expectation.actual == detail["actual"]
    assert (early[0].low, early[0].high) == (None, None)  # nothing is known of the time before
