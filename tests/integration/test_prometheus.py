"""The deployed rules and the dashboard, run by a real Prometheus against the real output of every process."""

import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pydantic import SecretStr
from sqlalchemy import Engine

from collectors.mqtt.state import CounterState
from jobs import runner
from metering.config.settings import Settings
from metering.db.transactions import transaction
from metering.probes.server import serving
from metering.runs import pauses
from tests.support import api_server, prometheus
from tests.support.platform import Platform
from tests.support.ports import free_port
from tests.support.prometheus import DEPLOY, Prometheus
from tests.support.until import until

TOKEN = "t" * 32


@pytest.fixture
def reader(configured: Settings, engine: Engine, platform: Platform, tmp_path: Path) -> Iterator[Prometheus]:
    """Prometheus, which has read an API, a counter and a runner; a project has days that nobody sealed."""
    at = datetime.now(UTC)
    platform.project(created_at=at - timedelta(days=3))
    with transaction(engine) as connection:
        pauses.pause(connection, "daily", at + timedelta(hours=1), "nobody seals", "tests", at)
    counter, working, stop = free_port(), free_port(), threading.Event()
    settings = configured.model_copy(
        update={"metrics_token": SecretStr(TOKEN), "runner_metrics_port": working}
    )
    jobs = threading.Thread(target=runner.run, args=(settings, engine, stop), daemon=True)
    with serving(CounterState(), settings, counter), api_server.served(settings) as api:
        jobs.start()
        host = api.removeprefix("http://")
        targets = {"api": host, "console": host} | {
            name: f"127.0.0.1:{port}" for name, port in (("counter", counter), ("runner", working))
        }
        with api_server.client(api, api_server.new_token(engine)) as client:
            assert client.get("/projects").is_success
        with prometheus.reading(tmp_path, targets, TOKEN) as opened:
            up = 'count(up{job="fleetmeter"} == 1)'
            until(lambda: [one["value"][1] for one in opened.query(up)] == ["4"], 30)
            yield opened
    stop.set()
    jobs.join(20)


def test_every_query_of_rules_and_dashboard_finds_its_figures(reader: Prometheus) -> None:
    until(lambda: reader.query('fleetmeter_job_throttles_total{job="hourly"}') != [], 30)
    metric_names = set(reader.ask("label/__name__/values"))
    for expression in [*_rules(), *_panels()]:
        names = set(re.findall(r"\b(?:fleetmeter_\w+|up)\b", expression)) - OPTIONAL
        assert names <= metric_names, expression
        reader.query(expression.replace("$__rate_interval", "1m"))
    waiting = "ALERTS{alertname='FleetmeterDaysMissing', alertstate='pending'}"
    until(lambda: reader.query(waiting) != [], 30)
    (group,) = reader.ask("rules")["groups"]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    assert [rule["name"] for rule in group["rules"] if rule["state"] == "firing"] == []


# Only a database with such rows has these.
OPTIONAL = {
    "fleetmeter_projects_measured",
    "fleetmeter_source_age_seconds",
    "fleetmeter_unattributed_messages",
}


def test_an_api_that_others_may_reach_does_not_show_metrics_without_a_token(configured: Settings) -> None:
    public = configured.model_copy(update={"api_address": "192.0.2.1"})
    with api_server.served(public) as address, httpx.Client(base_url=address) as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/healthz").text == "ok\n"
        assert client.get("/readyz").text == "ready\n"


def test_readiness_needs_the_database(configured: Settings) -> None:
    without_database = configured.model_copy(
        update={"database_url": SecretStr("postgresql://nobody@127.0.0.1:1/none")}
    )
    with api_server.served(without_database) as address, httpx.Client(base_url=address, timeout=30) as client:
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        assert "fleetmeter_up 0.0" in client.get("/metrics").text


def test_latency_has_the_route_and_never_what_a_client_chooses(configured: Settings) -> None:
    with api_server.served(configured) as address, httpx.Client(base_url=address) as client:
        client.get("/api/v1/projects/12345678/days")
        client.get("/api/v1/somewhere/12345678")
        metrics = client.get("/metrics").text
    assert "12345678" not in metrics
    assert 'route="none"' in metrics
    assert re.search(r'route="/projects/\{\w+\}/days"', metrics)


def _rules() -> list[str]:
    (group,) = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())["groups"]
    return [rule["expr"] for rule in group["rules"]]


def _panels() -> list[str]:
    dashboard: dict[str, Any] = json.loads((DEPLOY / "grafana" / "fleetmeter.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
