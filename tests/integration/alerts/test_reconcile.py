"""The broker's own count beside ours: paged, throttled, by region; what is not known is no drift."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from collectors.mqtt import daemon
from jobs.tasks import reconcile
from metering.alerts import alerts, incidents, reconciliation
from metering.config.settings import Settings, load_settings
from metering.db.transactions import transaction
from metering.ledger.mqtt import MqttUsage, add_mqtt
from metering.pricing import plans
from tests.support import programs, runs
from tests.support.mqtt_broker import Mosquitto, Publisher
from tests.support.platform import Platform, hours
from tests.support.ports import free_port

COUNTED_AT = datetime(2026, 11, 24, 8, 20, tzinfo=UTC)
AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
ROWS = "SELECT hour, source, theirs, ours FROM reconciliations WHERE theirs > 0 OR ours > 0 ORDER BY hour"


class Metrics(ThreadingHTTPServer):
    """GetMetricData as documented, each series a point a page; `faults` answer the next requests.

    `counts`: region -> hour -> messages that came in by MQTT.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        hour = COUNTED_AT.replace(minute=0)
        self.counts = {
            "eu-west-1": {hour - hours(1): 7.0, hour: 42.0},
            "us-east-1": {hour: 8.0, hour - hours(2): 1.0},
        }
        self.metrics = {"PublishIn.Success"}  # those that have the counts
        self.last_status = "Complete"
        self.denied = ""
        self.throttles = 0
        self.requests = 0


class Answer(BaseHTTPRequestHandler):
    server: Metrics
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.server.requests += 1
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        region = re.findall(r"/([a-z]+-[a-z]+-[0-9])/", self.headers["Authorization"])[0]
        if self.server.throttles or region == self.server.denied:
            code = "AccessDenied" if region == self.server.denied else "ThrottlingException"
            self.server.throttles = max(0, self.server.throttles - 1)
            return self._send(400, {"__type": code, "message": "no"})
        page = int(body.get("NextToken", 0))
        points = sorted(
            (moment, value)
            for moment, value in self.server.counts[region].items()
            if body["StartTime"] <= moment.timestamp() < body["EndTime"]
        )
        more = page + 1 < len(points)
        status = "PartialData" if more else self.server.last_status
        results = [
            self._series(query, points[page : page + 1], status) for query in body["MetricDataQueries"]
        ]
        token = {"NextToken": str(page + 1)} if more else {}
        return self._send(200, {"MetricDataResults": results} | token)

    def _series(self, query: dict[str, Any], points: list[Any], status: str) -> dict[str, Any]:
        metric = query["MetricStat"]["Metric"]
        of_mqtt = metric["Dimensions"][0]["Value"] == "MQTT"
        visible_points = points if of_mqtt and metric["MetricName"] in self.server.metrics else []
        return {
            "Id": query["Id"],
            "Timestamps": [moment.timestamp() for moment, _ in visible_points],
            "Values": [value for _, value in visible_points],
            "StatusCode": status,
        }

    def _send(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def metrics(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metrics]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    server = Metrics()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def settings_for(metrics: Metrics) -> Settings:
    return load_settings(
        aws_endpoint_url=f"http://127.0.0.1:{metrics.server_port}",
        aws_region=("eu-west-1", "us-east-1"),
        mqtt_url="mqtts://abc-ats.iot.eu-west-1.amazonaws.com",
    )


def count(engine: Engine, platform: Platform, at: datetime = COUNTED_AT, inbound: int = 30) -> None:
    """Messages of a project and 9 of none, in the hour of `at`."""
    organization = platform.organization()
    project = platform.project(organization)
    with transaction(engine) as connection:
        of_project, of_nobody = MqttUsage(inbound, 10, 0, 0, "t"), MqttUsage(9, 0, 0, 0, "t")
        add_mqtt(connection, {(organization, project): of_project, (organization, 999): of_nobody}, at)


def test_every_page_and_region_is_compared_hour_by_hour(
    metrics: Metrics, engine: Engine, platform: Platform
) -> None:
    count(engine, platform)
    metrics.throttles = 2
    for _ in range(2):
        outcome = runs.run_now(settings_for(metrics), engine, "reconcile", AT)
        assert (outcome.errors, outcome.result["theirs"], outcome.result["ours"]) == ([], 50, 49)
    hour = COUNTED_AT.replace(minute=0)
    assert platform.rows(ROWS) == [
        (hour - hours(2), "cloudwatch", 1, 0),
        (hour - hours(1), "cloudwatch", 7, 0),
        (hour, "cloudwatch", 50, 49),
    ]
    parts = platform.scalar("SELECT parts FROM reconciliations WHERE theirs = 50")
    assert {
        region: metrics_of_region["PublishIn.Success"] for region, metrics_of_region in parts.items()
    } == {
        "eu-west-1": 42,
        "us-east-1": 8,
    }


def test_an_hour_of_which_aws_says_nothing_is_unknown_and_no_drift(
    metrics: Metrics, engine: Engine, platform: Platform
) -> None:
    count(engine, platform, inbound=1_000)
    hour = COUNTED_AT.replace(minute=0)
    metrics.counts = {"eu-west-1": {hour - hours(1): 7.0}, "us-east-1": {}}
    outcome = runs.run_now(settings_for(metrics), engine, "reconcile", AT)
    assert (outcome.errors, outcome.result["theirs"], outcome.result["ours"]) == ([], None, 1_019)
    theirs = "SELECT hour, theirs FROM reconciliations WHERE hour >= :since ORDER BY hour"
    assert platform.rows(theirs, since=hour - hours(1)) == [(hour - hours(1), 7), (hour, None)]
    with transaction(engine) as connection:
        alerts.refresh(connection, AT, plans.load(None))
    assert platform.scalar("SELECT count(*) FROM alerts WHERE kind = 'drift'") == 0


def test_throttled_deliveries_are_recorded_and_not_counted(
    metrics: Metrics, engine: Engine, platform: Platform
) -> None:
    metrics.metrics.add("PublishOut.Throttle")
    assert runs.run_now(settings_for(metrics), engine, "reconcile", AT).result["theirs"] == 50
    parts = platform.scalar("SELECT parts FROM reconciliations WHERE theirs = 50")
    assert {
        region: metrics_of_region["PublishOut.Throttle"] for region, metrics_of_region in parts.items()
    } == {
        "eu-west-1": 42,
        "us-east-1": 8,
    }


def test_hours_missed_by_an_outage_are_compared_in_one_go(
    metrics: Metrics, engine: Engine, platform: Platform
) -> None:
    runs.run_now(settings_for(metrics), engine, "reconcile", AT)
    requests = metrics.requests
    outcome = runs.run_now(settings_for(metrics), engine, "reconcile", AT + timedelta(hours=9))
    assert outcome.result["hours"] == 9
    assert platform.scalar("SELECT count(*) FROM reconciliations") == 12
    assert metrics.requests - requests <= 4


@pytest.mark.parametrize(
    ("denied", "status"), [("us-east-1", "Complete"), ("", "InternalError"), ("", "PartialData")]
)
def test_what_cannot_be_read_leaves_no_sum(
    metrics: Metrics, engine: Engine, platform: Platform, denied: str, status: str
) -> None:
    metrics.denied, metrics.last_status = denied, status
    outcome = runs.run_now(settings_for(metrics), engine, "reconcile", AT)
    assert len(outcome.errors) == 1
    assert platform.scalar("SELECT count(*) FROM reconciliations") == 0


def test_an_account_without_the_broker_is_unknown_and_no_drift(
    metrics: Metrics, engine: Engine, platform: Platform
) -> None:
    count(engine, platform)
    metrics.counts = {"eu-west-1": {}, "us-east-1": {}}
    outcome = runs.run_now(settings_for(metrics), engine, "reconcile", AT)
    assert "AWS_REGION" in outcome.errors[0]["error"]
    assert platform.scalar("SELECT count(*) FROM reconciliations") == 0


def test_a_dry_run_keeps_nothing(metrics: Metrics, engine: Engine, platform: Platform) -> None:
    count(engine, platform)
    outcome = runs.run_now(settings_for(metrics), engine, "reconcile", AT, dry_run=True)
    assert outcome.result["theirs"] == 50
    assert platform.scalar("SELECT count(*) FROM reconciliations") == 0


def test_without_a_broker_it_is_not_configured(configured: Settings, engine: Engine) -> None:
    outcome = runs.run_now(configured, engine, "reconcile", AT)
    assert "not configured" in outcome.result["cloudwatch"]


@pytest.mark.parametrize(("percent", "open_alerts"), [(1.0, 1), (20.0, 0)])
def test_a_drift_above_the_threshold_opens_an_alert(
    metrics: Metrics, engine: Engine, platform: Platform, percent: float, open_alerts: int
) -> None:
    count(engine, platform, inbound=1_000)
    metrics.counts["eu-west-1"][COUNTED_AT.replace(minute=0)] = 1_150.0
    runs.run_now(settings_for(metrics), engine, "reconcile", AT)
    with transaction(engine) as connection:
        alerts.refresh(connection, AT, plans.load(None), percent)
        drifts = incidents.read(connection, kind="drift")
    assert len(drifts) == open_alerts
    assert all(alert.detail["percent"] == -12.0 for alert in drifts)


def compare(engine: Engine, at: datetime, received: int, uptime: int) -> dict[str, Any]:
    with transaction(engine) as connection:
        return reconciliation.compare_broker(connection, "b:1883", at, received, uptime)


def test_a_brokers_counter_is_compared_from_reading_to_reading(engine: Engine, platform: Platform) -> None:
    assert compare(engine, AT - hours(1), 1_000, 50_000) == {"broker": "b:1883", "first_look": True}
    count(engine, platform, AT)
    assert compare(engine, AT, 1_050, 53_600)["theirs"] == 50
    assert compare(engine, AT + hours(0.2), 1_060, 54_320)["theirs"] == 60
    assert platform.rows("SELECT theirs, ours, parts->'restarts' FROM reconciliations") == [(60, 49, 0)]


@pytest.mark.parametrize(("received", "uptime"), [(20, 600), (5_000, 600)])
def test_a_stretch_in_which_the_broker_restarted_is_in_neither_count(
    engine: Engine, platform: Platform, received: int, uptime: int
) -> None:
    compare(engine, AT - hours(1), 1_000, 50_000)
    count(engine, platform, AT)
    result = compare(engine, AT, received, uptime)
    assert (result["theirs"], result["ours"], result["restarts"]) == (None, 0, 1)
    count(engine, platform, AT)
    result = compare(engine, AT + hours(0.3), received + 49, uptime + 1_080)
    assert (result["theirs"], result["ours"], result["restarts"]) == (49, 49, 1)
    assert platform.rows("SELECT theirs, ours FROM reconciliations") == [(49, 49)]


@pytest.fixture
def mosquitto(configured: Settings, tmp_path: Path) -> Iterator[Mosquitto]:
    programs.require("mosquitto")
    with Mosquitto(tmp_path, more="sys_interval 1") as broker:
        yield broker


@pytest.fixture
def counting(mosquitto: Mosquitto, engine: Engine) -> Iterator[Settings]:
    """A counter daemon, and settings that name its broker."""
    where, stop = load_settings(mqtt_url=mosquitto.url), threading.Event()
    counter = threading.Thread(target=daemon.run, args=(where, engine, stop))
    counter.start()
    yield where
    stop.set()
    counter.join()


def now_compared(
    where: Settings, engine: Engine, is_reached: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """What reconcile says once it is `is_reached`; daemon and broker take some moments to be there."""
    for _ in range(20):
        result = runs.run_now(where, engine, "reconcile", datetime.now(UTC)).result
        if is_reached(result):
            return result
    raise AssertionError(result)


@pytest.mark.drill
@pytest.mark.mosquitto
def test_mosquittos_counter_agrees_and_a_restart_is_noticed(
    mosquitto: Mosquitto, counting: Settings, engine: Engine, platform: Platform
) -> None:
    project = platform.project()
    topic = f"roboticks/{platform.scalar('SELECT organization_id FROM projects')}/{project}/7/telemetry"
    now_compared(counting, engine, lambda result: "first_look" in result)
    device = Publisher(mosquitto)
    device.send(topic, 25)
    device.close()
    result = now_compared(counting, engine, lambda result: result.get("theirs", 0) > 0)
    assert (result["theirs"], result["ours"], result["restarts"]) == (25, 25, 0)
    mosquitto.stop()
    mosquitto.start()
    assert now_compared(counting, engine, lambda result: result.get("restarts") == 1)["theirs"] == 25


@pytest.mark.mosquitto
def test_a_broker_nobody_counts_from_is_unknown(
    mosquitto: Mosquitto, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "CATCH_UP", 0.5)
    where = load_settings(mqtt_url=mosquitto.url)
    assert "no counter" in now_compared(where, engine, lambda result: "no $SYS" not in str(result))["broker"]
    assert "past" in runs.run_now(where, engine, "reconcile", AT).result["broker"]


def test_a_broker_that_is_away_fails_with_its_reason(configured: Settings, engine: Engine) -> None:
    where = load_settings(mqtt_url=f"mqtt://127.0.0.1:{free_port()}")
    outcome = runs.run_now(where, engine, "reconcile", datetime.now(UTC))
    assert "cannot be reached" in outcome.errors[0]["error"]
