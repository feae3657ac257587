"""Alerts, previews and dead letters in the console: what is pressed, and what SQL then says."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from console.views.snapshots import matrix, matrix_file
from metering.catalogue.periods import Day
from metering.catalogue.sources import SOURCE_NAMES
from metering.config.settings import Settings
from metering.db.transactions import read_snapshot
from tests.support import runs
from tests.support.fleet import Fleet
from tests.support.platform import Platform

Open = Callable[..., AppTest]


def alert(
    platform: Platform,
    kind: str,
    subject: str,
    detail: str = "{}",
    severity: str = "critical",
    project: int | None = None,
) -> None:
    platform.sql(
        """INSERT INTO alerts (kind, severity, project_id, subject, detail, opened_at)
        VALUES (:kind, :severity, :project, :subject, CAST(:detail AS jsonb), now())""",
        project=project,
        kind=kind,
        subject=subject,
        detail=detail,
        severity=severity,
    )


def listed(page: AppTest) -> Any:
    """The table of incidents."""
    return next(frame for frame in page.dataframe if str(frame.key).startswith("alerts-"))


def tick(page: AppTest, *rows: int) -> None:
    """Tick rows of the table of incidents."""
    frame = listed(page)
    page.session_state[frame.key] = {"selection": {"rows": list(rows), "columns": [], "cells": []}}
    page.run()


def test_an_incident_is_acknowledged_once_it_is_ticked(open_page: Open, fleet: Fleet, engine: Engine) -> None:
    platform = Platform(engine)
    alert(platform, "counter_silent", "robots")
    page = open_page("alerts")
    assert "1 critical incident not acknowledged" in page.error[0].value
    assert "acknowledge" not in [button.key for button in page.button], "nothing is ticked"
    tick(page, 0)
    page.button(key="acknowledge").click().run()
    page.text_input(key="note").set_value("a new disk is on its way").run()
    page.button(key="confirm-acknowledge").click().run()
    assert platform.scalar("SELECT acknowledged_by FROM alerts") == "console"
    assert platform.rows("SELECT actor, reason FROM audit_log WHERE action = 'acknowledge'") == [
        ("console", "a new disk is on its way")
    ]
    assert not page.error
    table = listed(page).value
    assert table[["Acknowledged by", "Note"]].to_numpy().tolist() == [["console", "a new disk is on its way"]]


def test_the_incident_of_the_address_is_shown_whole_with_its_history(
    open_page: Open, fleet: Fleet, engine: Engine
) -> None:
    reason = "access denied to the bucket robots (eu-west-1); grant what deploy/iam lists " + "x" * 300
    detail = {"source": "s3", "failure": "denied", "run": 1, "error": reason, "since": "2026-11-07T00:00:00Z"}
    platform = Platform(engine)
    alert(platform, "source_failed", "s3", json.dumps(detail), "warning", fleet.projects[0])
    number = platform.scalar("SELECT id FROM alerts")
    page = open_page("alerts", incident=str(number))
    assert "S3 access denied since 7 Nov 00" in page.subheader[0].value
    assert any(text.value.endswith("x" * 300) for text in page.markdown)
    assert list(page.dataframe[0].value["What happened"]) == ["opened"]
    page.button(key=f"remedy-incident-{number}").click().run()
    page.button(key=f"confirm-remedy-incident-{number}").click().run()
    assert platform.rows("SELECT job, project_id, state FROM job_runs") == [
        ("hourly", fleet.projects[0], "queued")
    ]


def test_an_unusual_day_shows_what_was_expected(open_page: Open, fleet: Fleet, engine: Engine) -> None:
    part = {"meter": "logs", "expected_low": 10, "expected_high": 20, "actual": 90, "unit": "count"}
    detail = {**part, "date": "2026-11-02", "meters": [part]}
    platform = Platform(engine)
    alert(platform, "anomaly", "2026-11-02", json.dumps(detail), "warning", fleet.projects[0])
    page = open_page("alerts")
    title = page.dataframe[0].value["What"].tolist()[0]
    assert title.endswith("Log entries 90 on Mon 2 Nov, 4.5× the usual 10–20")
    tick(page, 0)
    assert page.selectbox(key="unusual").value == "logs"
    assert page.query_params["incident"] in ("1", ["1"])


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"kind": "limit"}, ["limit"]),
        ({"severity": "critical"}, ["coverage"]),
        ({"acknowledged": "yes"}, ["drift"]),
        ({"search": "no such name"}, []),
        ({"kind": "limit", "over": "shown"}, ["limit", "limit"]),
    ],
)
def test_the_address_filters(
    open_page: Open, fleet: Fleet, engine: Engine, filters: dict[str, str], expected: list[str]
) -> None:
    platform = Platform(engine)
    for kind, severity in (("limit", "warning"), ("coverage", "critical"), ("drift", "warning")):
        alert(platform, kind, f"a {kind}", severity=severity)
    alert(platform, "limit", "over", severity="warning")
    platform.sql("UPDATE alerts SET resolved_at = now() WHERE subject = 'over'")
    platform.sql("UPDATE alerts SET acknowledged_by = 'ada' WHERE kind = 'drift'")
    page = open_page("alerts", **filters)
    kinds = list(page.dataframe[0].value["Kind"]) if page.dataframe else []
    assert kinds == expected


def test_a_wrong_filter_of_the_address_is_named(open_page: Open, fleet: Fleet) -> None:
    page = open_page("alerts", kind="nonsense")
    assert "kind = nonsense" in page.warning[0].value


def test_a_preview_is_a_trial_run_that_shows_what_would_change(
    open_page: Open, fleet: Fleet, engine: Engine, configured: Settings
) -> None:
    page = open_page("jobs")
    page.button(key="preview-daily").click().run()
    platform = Platform(engine)
    assert platform.rows("SELECT job, dry_run, state FROM job_runs") == [("daily", True, "queued")]
    assert platform.scalar("SELECT count(*) FROM audit_log WHERE action = 'preview'") == 1
    days = platform.scalar("SELECT count(*) FROM daily_stats")
    runs.run_now(configured, engine, "daily", datetime.now(UTC), dry_run=True)
    page.run()
    assert platform.scalar("SELECT count(*) FROM daily_stats") == days
    captions = " ".join(caption.value for caption in page.caption)
    assert "The run would do exactly this" in captions or "Nothing would change" in captions


def test_dead_letters_are_discarded_or_asked_for_again(open_page: Open, fleet: Fleet, engine: Engine) -> None:
    platform = Platform(engine)
    platform.sql(
        """INSERT INTO job_runs (job, period, at, trigger, requested_by, state, finished_at, errors)
        SELECT 'daily', '2026-11-0' || n, now(), 'schedule', 'schedule', 'dead', now(), '[{"error": "x"}]'
        FROM generate_series(1, 3) n"""
    )
    page = open_page("jobs")
    page.button(key="retry-all").click().run()
    assert platform.scalar("SELECT count(*) FROM job_runs WHERE state = 'queued'") == 3
    page = open_page("jobs")
    page.button(key="discard").click().run()
    assert platform.scalar("SELECT count(*) FROM job_runs WHERE state = 'dead'") == 3
    page.button(key="confirm-discard").click().run()
    assert platform.scalar("SELECT count(*) FROM job_runs WHERE state = 'dead'") == 0
    assert platform.scalar("SELECT count(*) FROM audit_log WHERE action = 'discard'") == 3


def test_only_the_failures_that_the_filter_leaves_are_tried_again(
    open_page: Open, fleet: Fleet, engine: Engine
) -> None:
    platform = Platform(engine)
    platform.sql(
        """INSERT INTO job_runs (job, period, at, trigger, requested_by, state, finished_at)
        SELECT job, '2026-11-0' || n, now(), 'schedule', 'schedule', 'dead', now()
        FROM generate_series(1, 2) n, unnest(ARRAY['daily', 'archive']) job"""
    )
    page = open_page("jobs")
    page.selectbox(key="failed-job").set_value("archive").run()
    page.button(key="retry-all").click().run()
    queued = platform.rows("SELECT job, count(*) FROM job_runs WHERE state = 'queued' GROUP BY job")
    assert queued == [("archive", 2)]


def test_the_matrix_shows_how_well_each_day_was_measured(open_page: Open, fleet: Fleet) -> None:
    page = open_page("snapshots", source="every")
    grid = next(frame.value for frame in page.dataframe if frame.key == "matrix" or "●" in str(frame.value))
    assert len(grid) == len(fleet.projects) * len(SOURCE_NAMES)
    assert len(open_page("snapshots").dataframe[-1].value) == len(fleet.projects)  # the worst of each day
    cells = {icon for column in grid.columns[2:] for cell in grid[column] for icon in cell}
    assert cells <= {*matrix.ICONS.values(), matrix.NOT_EXPECTED}
    if fleet.missing:
        assert "□" in cells


def test_the_matrix_is_narrowed_by_the_address(open_page: Open, fleet: Fleet) -> None:
    page = open_page("snapshots", source="s3", only="missing")
    grid = page.dataframe[-1].value
    if fleet.missing:  # they are of one project
        assert list(grid["Source"]) == ["S3"]
    assert page.query_params["only"] in ("missing", ["missing"])
    assert "a source:" in open_page("snapshots", source="cheese").warning[0].value


def test_the_matrix_leaves_projects_whose_days_were_read_in_part(
    open_page: Open, fleet: Fleet, engine: Engine
) -> None:
    platform = Platform(engine)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    platform.sql("ALTER TABLE daily_stats DISABLE TRIGGER USER")
    platform.sql(
        """UPDATE daily_stats SET coverage = jsonb_set(coverage, '{platform_db}',
            '{"state": "partial", "hours": 3, "of": 24}') WHERE project_id = :id AND date = :date""",
        id=fleet.projects[1],
        date=yesterday,
    )
    query = {"from": str(yesterday), "to": str(yesterday), "only": "missing"}
    (worst,) = open_page("snapshots", **query).dataframe[-1].value[f"{yesterday:%m-%d}"]
    assert worst == ["◐"]
    grid = open_page("snapshots", **query, source="every").dataframe[-1].value
    assert [name.endswith(f"· {fleet.projects[1]}") for name in grid["Project"]] == [True] * len(SOURCE_NAMES)
    page = open_page("snapshots", **query, source="mqtt")
    assert "none is missing, partial or carried over" in page.info[-1].value


def test_the_matrix_is_a_file_of_every_project_and_source(fleet: Fleet, engine: Engine) -> None:
    yesterday = Day.of(datetime.now(UTC)).previous()
    with read_snapshot(engine) as connection:
        rows = list(matrix_file.rows(connection, yesterday, yesterday, SOURCE_NAMES, None))
        (whole,) = {len(row) for row in rows}
        assert whole == len(matrix_file.NAMES)
        assert sorted((row[0], row[4]) for row in rows) == sorted(product(fleet.projects, SOURCE_NAMES))
        only = list(matrix_file.rows(connection, yesterday, yesterday, ("s3",), (fleet.projects[1],)))
    assert [(row[0], row[3], row[4]) for row in only] == [(fleet.projects[1], yesterday.date, "s3")]


def test_health_shows_the_drift_against_the_brokers_own_count(
    open_page: Open, fleet: Fleet, engine: Engine
) -> None:
    Platform(engine).sql(
        """INSERT INTO reconciliations (source, hour, theirs, ours, parts, at) VALUES
        ('mosquitto', date_trunc('hour', now()) - interval '2 hours', 1000, 990, '{"restarts": 1}', now())"""
    )
    drift = next(frame.value for frame in open_page("health").dataframe if "Their messages" in frame.value)
    assert drift[["Their messages", "Our messages", "Drift", "Broker restarts"]].to_numpy().tolist() == [
        [1000, 990, -10, 1]
    ]
    assert list(drift["Drift of theirs"]) == ["\u2060-1.00%"]


def test_health_names_topics_of_the_newest_hour_that_matched_no_project(
    open_page: Open, fleet: Fleet, engine: Engine
) -> None:
    Platform(engine).sql(
        """INSERT INTO unattributed_messages (hour, reason, messages, sample_topics) VALUES
        (date_trunc('hour', now()), 'malformed_topic', 2, ARRAY['a/b']),
        (date_trunc('hour', now()) - interval '1 hour', 'malformed_topic', 3, ARRAY['c', 'd', 'e'])"""
    )
    table = next(frame.value for frame in open_page("health").dataframe if "Sample topics" in frame.value)
    assert table[["Messages", "Sample topics"]].to_numpy().tolist() == [[5, "a/b"]]
