"""The broker's own count beside ours: paged, throttled, by region; what is not known is no drift."""

import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import Engine
from the_platform import Platform

from jobs import execute
from metering import database, ledger, settings
from metering.ledger import MqttUsage
from metering.settings import Settings

COUNTED = datetime(2026, 11, 24, 8, 20, tzinfo=UTC)
AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
ROWS = "SELECT hour, source, theirs, ours FROM reconciliations"


class Metrics(ThreadingHTTPServer):
    """GetMetricData as documented, each result over two pages; `faults` answer the next requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.counts = {"eu-west-1": [30.0, 12.0], "us-east-1": [3.0, 5.0]}
        self.status = "Complete"
        self.denied = ""
        self.throttles = 0


class Answer(BaseHTTPRequestHandler):
    server: Metrics
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        region = re.findall(r"/([a-z]+-[a-z]+-[0-9])/", self.headers["Authorization"])[0]
        if self.server.throttles or region == self.server.denied:
            code = "AccessDenied" if region == self.server.denied else "ThrottlingException"
            self.server.throttles = max(0, self.server.throttles - 1)
            return self._send(400, {"__type": code, "message": "no"})
        second = b"NextToken" in asked
        value = self.server.counts[region][second]
        results = [{"Id": "m0", "Values": [value], "StatusCode": self.server.status}]
        return self._send(200, {"MetricDataResults": results} | ({} if second else {"NextToken": "2"}))

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
    return settings.load(
        aws_endpoint_url=f"http://127.0.0.1:{metrics.server_port}",
        aws_region=("eu-west-1", "us-east-1"),
        mqtt_url="mqtts://abc-ats.iot.eu-west-1.amazonaws.com",
    )


def count(engine: Engine, platform: Platform) -> None:
    """40 messages of a project and 9 of none, in the hour of COUNTED."""
    organization = platform.organization()
    project = platform.project(organization)
    with database.transaction(engine) as connection:
        known, unknown = MqttUsage(30, 10, 0, 0, "t"), MqttUsage(9, 0, 0, 0, "t")
        ledger.add_mqtt(connection, {(organization, project): known, (organization, 999): unknown}, COUNTED)


def test_every_page_and_region_is_compared_with_all_that_was_counted(
    metrics: Metrics, engine: Engine, platform: Platform
) -> None:
    count(engine, platform)
    metrics.throttles = 2
    for _ in range(2):
        outcome = execute.run_now(settings_for(metrics), engine, "reconcile", AT)
        assert (outcome.errors, outcome.result["theirs"], outcome.result["ours"]) == ([], 50, 49)
    assert platform.rows(ROWS) == [(COUNTED.replace(minute=0), "cloudwatch", 50, 49)]


@pytest.mark.parametrize(("denied", "status"), [("us-east-1", "Complete"), ("", "InternalError")])
def test_what_cannot_be_read_leaves_no_sum(
    metrics: Metrics, engine: Engine, platform: Platform, denied: str, status: str
) -> None:
    metrics.denied, metrics.status = denied, status
    outcome = execute.run_now(settings_for(metrics), engine, "reconcile", AT)
    assert len(outcome.errors) == 1
    assert platform.rows(ROWS) == []


def test_a_dry_run_keeps_nothing(metrics: Metrics, engine: Engine, platform: Platform) -> None:
    count(engine, platform)
    assert (
        execute.run_now(settings_for(metrics), engine, "reconcile", AT, dry_run=True).result["theirs"] == 50
    )
    assert platform.rows(ROWS) == []


def test_another_broker_is_said_to_be_not_configured(configured: Settings, engine: Engine) -> None:
    outcome = execute.run_now(configured, engine, "reconcile", AT)
    assert "not configured" in outcome.result["cloudwatch"]
