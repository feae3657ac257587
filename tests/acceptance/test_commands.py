"""The commands as their users type them, in processes of their own, on a real database."""

import csv
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL

from metering.config.settings import Settings
from tests.support.platform import Platform


class Terminal:
    """Runs `fleetmeter …` with this test's database."""

    def __init__(self, folder: Path, url: URL) -> None:
        own = {
            "DATABASE_URL": url.render_as_string(hide_password=False),
            "FLEETMETER_DATA_DIR": str(folder),
            "COLUMNS": "200",
        }
        foreign = ("AWS_", "MQTT_", "S3_", "ECR_", "DB_", "FLEETMETER_")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(foreign)} | own
        self.folder = folder

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fleetmeter.cli", *arguments],
            env=self.environment | environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def json(self, *arguments: str) -> object:
        result = self(*arguments, "--json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)


@pytest.fixture
def fleetmeter(configured: Settings, tmp_path: Path, url: URL) -> Terminal:
    return Terminal(tmp_path, url)


def one_sentence(result: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in result.stderr + result.stdout
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_from_rows_to_a_closed_month(fleetmeter: Terminal, platform: Platform) -> None:
    project = platform.project(created_at="2026-09-10T08:00:00Z")
    for day in range(10, 31):
        platform.sql(
            """INSERT INTO logs (project_id, size_bytes, created_at)
            SELECT :id, 10, CAST(:day AS timestamptz) + n * interval '1 hour'
            FROM generate_series(9, 13) n""",
            id=project,
            day=f"2026-09-{day}T00:00:00Z",
        )
    assert fleetmeter("run", "hourly", "--at", "2026-09-30T23:59:00Z").returncode == 0
    assert platform.scalar("SELECT logs FROM project_stats") == 21 * 5
    assert fleetmeter("run", "daily", "--at", "2026-10-01T00:00:05Z").returncode == 0
    assert platform.rows("SELECT count(*), sum(logs)::int FROM daily_stats") == [(21, 105)]
    platform.logs(project, datetime(2026, 10, 1, 0, 10, tzinfo=UTC), 3)
    assert fleetmeter("run", "hourly", "--at", "2026-10-01T01:00:00Z").returncode == 0
    assert fleetmeter("run", "monthly", "--at", "2026-10-01T01:05:00Z").returncode == 0
    assert platform.rows("SELECT logs, lifetime_logs FROM project_stats") == [(3, 105)]
    assert fleetmeter("run", "monthly", "--at", "2026-10-01T01:06:00Z").returncode == 0
    assert platform.scalar("SELECT count(*) FROM monthly_stats") == 1

    exported = fleetmeter("export", "monthly", "--month", "2026-09")
    (row,) = csv.DictReader(io.StringIO(exported.stdout))
    assert (row["project_id"], row["logs"], row["days_present"]) == (str(project), "105", "21")

    proof = fleetmeter.json("verify")
    assert proof["sound"] is True  # type: ignore[index]
    idle = {law for law, rows in proof["checked"].items() if not rows}  # type: ignore[index]
    assert idle == {
        "adjustments are as they were posted",
        "gaps are accepted as they were",
        "corrections of a month = the month rated again - its bill",
        "devices have at most their project's messages",
    }, "nobody decided or corrected anything"


def test_an_instant_that_is_chosen_dates_no_reading(fleetmeter: Terminal, platform: Platform) -> None:
    began = datetime.now(UTC)
    project = platform.project(platform.organization("pro"), created_at=began - timedelta(days=9))
    platform.sql(
        "INSERT INTO devices (project_id, name, created_at) VALUES (:id, 'arm', :at)",
        id=project,
        at=began - timedelta(days=8),
    )
    for job, days in (("hourly", 5), ("daily", 4), ("hourly", 2)):
        at = (began - timedelta(days=days)).isoformat()
        assert fleetmeter("run", job, "--at", at).returncode == 0
    for table in ("organization_tiers", "project_owners", "catalogue_readings"):
        column = "at" if table == "catalogue_readings" else "read_from"
        assert platform.scalar(f"SELECT min({column}) FROM {table}") >= began
    sampled = "SELECT min(hour) + interval '1 hour' FROM usage_hourly WHERE device_count > 0"
    assert platform.scalar(sampled) > began
    assert platform.scalar("SELECT count(*) FROM daily_stats WHERE device_count IS NULL") == 5
    assert fleetmeter("verify").returncode == 0


@pytest.mark.drill
def test_missing_days_are_listed_and_a_backfill_seals_them(fleetmeter: Terminal, platform: Platform) -> None:
    project = platform.project(created_at="2026-11-18T08:00:00Z")
    platform.sql(
        "INSERT INTO logs (project_id, size_bytes, created_at) VALUES (:id, 1, '2026-11-20T10:00:00Z')",
        id=project,
    )
    listed = fleetmeter.json("missing", "--from", "2026-11-01", "--to", "2026-11-21")
    assert [day["date"] for day in listed["missing"]] == [f"2026-11-{n}" for n in (18, 19, 20, 21)]  # type: ignore[index]
    assert fleetmeter("backfill", "--from", "2026-11-18", "--to", "2026-11-21").returncode == 0
    assert fleetmeter.json("missing", "--from", "2026-11-01", "--to", "2026-11-21")["missing"] == []  # type: ignore[index]
    assert platform.rows("SELECT date::text FROM daily_stats WHERE logs = 1") == [("2026-11-20",)]
    again = fleetmeter("backfill", "--from", "2026-11-18", "--to", "2026-11-21")
    assert again.returncode == 0
    assert platform.scalar("SELECT count(*) FROM daily_stats") == 4
    assert fleetmeter("verify").returncode == 0


def test_a_backfill_may_go_before_the_installation(fleetmeter: Terminal, platform: Platform) -> None:
    project = platform.project(created_at="2023-06-01T00:00:00Z")
    platform.sql(
        "INSERT INTO logs (project_id, size_bytes, created_at) VALUES (:id, 1, '2023-12-30T10:00:00Z')",
        id=project,
    )
    result = fleetmeter("backfill", "--from", "2023-12-30", "--to", "2023-12-31")
    assert result.returncode == 0, result.stderr
    assert platform.rows("SELECT date::text, logs FROM daily_stats ORDER BY date") == [
        ("2023-12-30", 1),
        ("2023-12-31", 0),
    ]
    assert fleetmeter("verify").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "daily", "--at", "2999-01-01"], 2, "in the future"),
        (["run", "daily", "--at", "soon"], 2, "not an instant"),
        (["run", "weekly"], 2, "weekly"),
        (["run", "hourly", "--project", "999999"], 2, "no project 999999"),
        (["backfill", "--from", "2026-11-03", "--to", "2026-11-01"], 2, "is after"),
        (["backfill", "--from", "2999-01-01", "--to", "2999-01-02"], 2, "not over"),
        (["backfill", "--from", "2026-02-30", "--to", "2026-03-01"], 2, "not a day"),
        (["export", "monthly", "--month", "2026-13"], 2, "not a month"),
        (["missing", "--from", "yesterday"], 2, "not a day"),
        (["coverage", "999999", "2026-11-20"], 2, "no project 999999"),
        (["coverage", "1", "20/11/2026"], 2, "not a day"),
        (["missing", "--project", "999999"], 2, "no project 999999"),
    ],
)
def test_bad_input_is_one_sentence(
    fleetmeter: Terminal, platform: Platform, arguments: list[str], code: int, says: str
) -> None:
    platform.project()
    result = fleetmeter(*arguments)
    assert result.returncode == code
    assert says in one_sentence(result)


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"DATABASE_URL": "mysql://h/d"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/d"}, "127.0.0.1:1/d cannot be reached"),
        ({"MQTT_URL": "http://u:hunter2@broker"}, "MQTT_URL"),
        ({"S3_PREFIX": "all/"}, "S3_PREFIX"),
        ({"FLEETMETER_PLANS": "/nowhere/plans.toml"}, "/nowhere/plans.toml"),
    ],
)
def test_wrong_settings_are_one_sentence_without_secrets(
    fleetmeter: Terminal, environment: dict[str, str], says: str
) -> None:
    result = fleetmeter("run", "monthly", **environment)
    assert result.returncode != 0
    assert says in one_sentence(result)
    assert "hunter2" not in result.stderr


def test_a_database_without_our_schema_names_the_command_that_helps(
    fleetmeter: Terminal, empty_url: URL
) -> None:
    other = {"DATABASE_URL": empty_url.render_as_string(hide_password=False)}
    for command in (["status"], ["verify"], ["missing"], ["run", "hourly"], ["doctor"]):
        result = fleetmeter(*command, **other)
        assert result.returncode == 1
        assert "fleetmeter migrate" in result.stderr + result.stdout
    assert fleetmeter("migrate", **other).returncode == 0
    assert fleetmeter("status", **other).returncode == 0


def test_status_and_doctor_speak_of_a_system_that_never_ran(fleetmeter: Terminal, platform: Platform) -> None:
    platform.project(created_at="2026-11-20T00:00:00Z")
    assert fleetmeter("status").returncode == 0
    findings = fleetmeter("doctor")
    assert findings.returncode == 1
    for complaint in ("counters", "hourly", "daily snapshots", "monthly close"):
        assert complaint in findings.stdout
    listed = json.loads(fleetmeter("doctor", "--json").stdout)
    assert all(finding["checked"] in findings.stdout for finding in listed)
    assert not all(finding["ok"] for finding in listed)


def test_verify_exits_one_and_names_what_is_wrong(fleetmeter: Terminal, platform: Platform) -> None:
    project = platform.project(created_at="2026-11-18T08:00:00Z")
    assert fleetmeter("run", "hourly").returncode == 0
    platform.sql("UPDATE project_stats SET logs = logs + 5")
    result = fleetmeter("verify")
    assert result.returncode == 1
    assert f"project {project}" in result.stdout
    assert "logs" in result.stdout


def test_the_library_answers_the_backend(configured: Settings, platform: Platform) -> None:
    from fleetmeter import LimitService, StatsUpdaterService

    organization = platform.organization("free")
    project = platform.project(organization)
    service = StatsUpdaterService()
    service.increment_mqtt_inbound(project, 12)
    service.increment_mqtt_outbound(project, 3)
    assert platform.rows("SELECT mqtt_inbound, mqtt_outbound FROM project_stats") == [(12, 3)]
    answer = LimitService().check_mqtt_inbound_limit(organization, project)
    assert (answer.used, answer.allowed) == (12, True)
    service.update_all_projects()
    service.create_all_daily_snapshots()
    service.reset_all_monthly_stats()
    assert platform.scalar("SELECT mqtt_inbound FROM project_stats") == 12, (
        "a reset in mid-month resets nothing"
    )


def test_a_gap_is_accepted_and_a_correction_posted(fleetmeter: Terminal, platform: Platform) -> None:
    project = platform.project(created_at="2026-10-01T00:00:00Z")
    platform.logs(project, datetime(2026, 10, 7, 9, tzinfo=UTC), count=3)
    platform.sql(
        """INSERT INTO gaps (source, starts_at, ends_at, reason)
        VALUES ('mqtt', '2026-10-05Z', '2026-10-06Z', 'session lost')"""
    )
    blocked = fleetmeter("run", "monthly", "--at", "2026-11-01T00:05Z")
    assert blocked.returncode == 1, "a month that is blocked was asked for and is not closed"
    assert "succeeded, 1 left out" in blocked.stdout
    assert "gap 1;" in blocked.stdout
    assert "fleetmeter accept-gap ID" in blocked.stdout
    assert platform.scalar("SELECT count(*) FROM monthly_stats") == 0
    assert "needs a reason" in one_sentence(fleetmeter("accept-gap", "1", "--reason", " "))
    assert fleetmeter("accept-gap", "1", "--reason", "the broker was moved").returncode == 0
    assert "no gap 9" in one_sentence(fleetmeter("accept-gap", "9", "--reason", "x"))
    assert fleetmeter("run", "monthly", "--at", "2026-11-01T00:06Z").returncode == 0
    assert platform.scalar("SELECT count(*) FROM monthly_stats") == 1
    result = fleetmeter(
        *("adjust", "--project", str(project), "--meter", "logs", "--quantity", "-3"),
        *("--date", "2026-10-07", "--reason", "counted twice"),
    )
    assert result.returncode == 0, result.stderr
    assert platform.rows("SELECT meter, quantity, reason FROM adjustments") == [("logs", -3, "counted twice")]
    wrong = fleetmeter(
        *("adjust", "--project", str(project), "--amount", "a lot", "--date", "2026-10-07", "--reason", "x")
    )
    assert "--amount takes money" in one_sentence(wrong)
    assert fleetmeter("verify").returncode == 0


def test_alerts_are_looked_at_listed_and_acknowledged(fleetmeter: Terminal, platform: Platform) -> None:
    platform.sql(
        """INSERT INTO mqtt_sessions (client_id, epoch, session_started_at, last_seen_at)
        VALUES ('robots', 1, now() - interval '1 day', now() - interval '1 hour')"""
    )
    [alert] = fleetmeter.json("alerts")  # type: ignore[misc]
    assert (alert["kind"], alert["subject"], alert["severity"]) == ("counter_silent", "robots", "critical")
    assert fleetmeter("alerts", "ack", str(alert["id"]), "--note", "on it").returncode == 0
    [alert] = fleetmeter.json("alerts")  # type: ignore[misc]
    assert alert["acknowledged_by"].endswith("@cli")
    assert "there is no alert 99" in one_sentence(fleetmeter("alerts", "ack", "99"))


def test_a_channel_that_is_none_is_refused_before_any_work(fleetmeter: Terminal) -> None:
    result = fleetmeter("alerts", "test", FLEETMETER_ALERT_URLS="nothing://me:hunter2@somewhere")
    assert result.returncode == 1
    assert one_sentence(result).startswith("fleetmeter: FLEETMETER_ALERT_URLS: address 1")
    assert "hunter2" not in result.stderr
    assert "no channel is configured" in fleetmeter("alerts", "test").stdout


@pytest.mark.drill
def test_spend_says_what_the_month_costs_so_far_and_by_which_assumption(
    fleetmeter: Terminal, platform: Platform
) -> None:
    project = platform.project(platform.organization("starter"), created_at="2026-11-01T00:00:00Z")
    assert fleetmeter("run", "hourly", "--at", "2026-11-20T10:00:00Z").returncode == 0
    report = fleetmeter.json("spend", "--at", "2026-11-20T10:00:00Z")
    assert isinstance(report, dict)
    assert [one["project_id"] for one in report["projects"]] == [project]
    assert report["projects"][0]["so_far"] == report["organizations"][0]["so_far"] == "29.00"
    assert "at its average rate so far" in report["assumption"]
    assert "projected 29.00" in fleetmeter("spend", "--at", "2026-11-20T10:00:00Z").stdout
    assert fleetmeter("spend", "--project", "99").returncode == 2


def test_results_are_on_standard_output_and_the_log_is_not(fleetmeter: Terminal, platform: Platform) -> None:
    platform.project(created_at="2026-09-10T08:00:00Z")
    platform.sql("ALTER TABLE logs RENAME TO elsewhere")
    for job in ("hourly", "retention"):
        for more in ((), ("--dry-run",)):
            result = fleetmeter("run", job, "--json", *more)
            assert json.loads(result.stdout)["job"] == job, result.stderr
    command = [sys.executable, "-m", "fleetmeter.cli", "runner"]
    with subprocess.Popen(
        command, env=fleetmeter.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as runner:
        assert runner.stderr is not None
        assert runner.stdout is not None
        assert "run.finished" in runner.stderr.readline()
        runner.terminate()
        assert runner.stdout.read() == ""


def test_a_run_that_left_a_project_out_exits_one_and_status_says_so(
    fleetmeter: Terminal, platform: Platform
) -> None:
    broken, sound = (platform.project(created_at="2026-11-18T00:00:00Z") for _ in range(2))
    platform.sql(f"ALTER TABLE daily_stats ADD CONSTRAINT broken CHECK (project_id <> {broken})")
    result = fleetmeter("run", "daily", "--at", "2026-11-19T00:05:00Z")
    assert result.returncode == 1
    assert "succeeded, 1 left out" in result.stdout
    assert f"project {broken}:" in result.stdout
    assert platform.rows("SELECT DISTINCT project_id FROM daily_stats") == [(sound,)]
    assert "succeeded, 1 left out" in fleetmeter("status").stdout
    assert "succeeded, 1 left out" in fleetmeter("jobs").stdout
    platform.sql("ALTER TABLE daily_stats DROP CONSTRAINT broken")
    assert fleetmeter("run", "daily", "--at", "2026-11-19T00:06:00Z").returncode == 0


def test_a_source_that_cannot_be_read_makes_a_run_exit_one(fleetmeter: Terminal, platform: Platform) -> None:
    platform.project(created_at="2026-11-18T00:00:00Z")
    platform.sql("ALTER TABLE logs RENAME TO logs_elsewhere")
    result = fleetmeter("run", "hourly")
    assert result.returncode == 1
    assert "succeeded, 1 left out" in result.stdout
    platform.sql("ALTER TABLE logs_elsewhere RENAME TO logs")
    assert fleetmeter("run", "hourly").returncode == 0, "S3 and ECR are not configured and not asked for"


def test_names_and_reasons_cannot_act_on_the_terminal(fleetmeter: Terminal, platform: Platform) -> None:
    forged = "ok   database: all is well"
    hostile = f"\x1b[2J\x1b]0;owned\x07[red]\u202efake\r\n{forged}\nfleetmeter: every law holds"
    organization = platform.organization(name=hostile)
    platform.project(organization, name=hostile)
    platform.sql(
        "INSERT INTO gaps (source, starts_at, ends_at, reason) VALUES ('mqtt', now(), now(), :text)",
        text=hostile,
    )
    platform.sql(
        "INSERT INTO workers (name, role, host, pid, last_seen_at, figures) VALUES"
        " (:text, 'runner', :text, 1, now(), jsonb_build_object('clock_difference_seconds', 500))",
        text=hostile,
    )
    platform.sql(
        "INSERT INTO mqtt_sessions (client_id, epoch, connected, session_started_at, last_seen_at)"
        " VALUES (:text, 1, true, now() - interval '1 day', now())",
        text=hostile,
    )
    reading = (["status"], ["spend"], ["alerts"], ["missing"], ["month", "2026-10"], ["counters"])
    refused = (["doctor"], ["counters", "retire", hostile, "--reason", "x"])
    for command in reading + refused:
        result = fleetmeter(*command)
        assert result.returncode == (command in refused), result.stderr
        output = result.stdout + result.stderr
        assert not set("\x1b\x07\r\u202e") & set(output), command
        lines = [line for line in output.splitlines() if line.startswith((forged, "fleetmeter: every"))]
        assert lines == [], command
    output = fleetmeter("missing", "--from", "2026-10-01", "--to", "2026-10-02").stdout
    assert "\\x1b[2J" in output
    assert "[red]" in output
    listed = fleetmeter("missing", "--from", "2026-10-01", "--to", "2026-10-01", "--json").stdout
    assert json.dumps(hostile) in listed
